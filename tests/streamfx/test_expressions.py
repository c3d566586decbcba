"""Style expressions: what is read, what is refused, and what a mix amounts to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import packs
from streamfx.errors import InputError
from streamfx.expressions import (
    MOST_SEED,
    Term,
    format_expression,
    pack_named_by,
    parse_expression,
    resolve,
)
from streamfx.latents import VARIATION, draw_latent
from streamfx.styles import Pack, write_pack


@pytest.fixture(scope="module")
def pack(tmp_path_factory: pytest.TempPathFactory) -> Pack:
    return packs.tiny_pack(tmp_path_factory.mktemp("pack"))


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("great-wave", [("style", "great-wave", 1.0)]),
        ("great-wave:0.2", [("style", "great-wave", 1.0)]),
        ("default/great-wave", [("style", "default/great-wave", 1.0)]),
        (" a : 3 + b ", [("style", "a", 0.75), ("style", "b", 0.25)]),
        ("a:0.6+b:0.4", [("style", "a", 0.6), ("style", "b", 0.4)]),
        ("a:.5+b:5.", [("style", "a", 0.5 / 5.5), ("style", "b", 5 / 5.5)]),
        ("a:0+b", [("style", "a", 0.0), ("style", "b", 1.0)]),
        ("image:picture.jpg", [("image", "picture.jpg", 1.0)]),
        ("image:my pic.jpg:0.5+a:0.5", [("image", "my pic.jpg", 0.5), ("style", "a", 0.5)]),
        (r"image:C:\pic.jpg", [("image", r"C:\pic.jpg", 1.0)]),
        ("image:a:b:3+b", [("image", "a:b", 0.75), ("style", "b", 0.25)]),
        ('image:"a+b:2.jpg"', [("image", "a+b:2.jpg", 1.0)]),
        ('image:"a+b":3+b', [("image", "a+b", 0.75), ("style", "b", 0.25)]),
        ('image:"say ""hi"".jpg"', [("image", 'say "hi".jpg', 1.0)]),
        ("image:./2024:12", [("image", "./2024", 1.0)]),
        ("great-wave~7:0.5+b:0.5", [("style", "great-wave", 0.5), ("style", "b", 0.5)]),
        ("latent:7", [("latent", "", 1.0)]),
        ("latent:7:3+p/a ~ 08", [("latent", "", 0.75), ("style", "p/a", 0.25)]),
    ],
)
def test_parse(text: str, terms: list[tuple[str, str, float]]) -> None:
    assert [(t.kind, t.name, t.weight) for t in parse_expression(text)] == terms


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing at position 1"),
        ("a+", "missing at position 3"),
        ("a++b", "missing at position 3"),
        ("Great Wave", "'Great Wave' at position 1 .* is not a style name.*image:PATH"),
        ("a+b/c/d", "'b/c/d' at position 3"),
        ("picture.jpg", "for a picture write image:PATH"),
        ("a:", "weight '' at position 1"),
        ("a+b:heavy", "weight 'heavy' at position 3"),
        ("a:-1", "weight '-1'"),
        ("a:nan", "weight 'nan'"),
        ("a:inf", "weight 'inf'"),
        ("a:1e5", "weight '1e5'"),
        ("a:1000001", "weight '1000001'"),
        ("a:0+b:0", "all 0"),
        ("image:", "has no path"),
        ('image:""', "has no path"),
        ("image::3", "has no path"),
        ('image:"a.jpg', "quote at position 7"),
        ('image:a"b".jpg', "must be quoted as a whole"),
        ('image:"a.jpg"0.5', "comes a weight"),
        ("latent:", "'' at position 1 .* is not the number of a style"),
        ("latent:-1", "'-1' at position 1"),
        ("a+b~4294967296", "'4294967296' at position 3"),
        ("a~", "write for example latent:7 or great-wave~7"),
        ("~7", "'' at position 1 .* is not a style name"),
        ("+".join("a" * 17), "at most 16 styles, not 17"),
        ("a" * 4001, "at most 4000 characters"),
    ],
)
def test_refuse(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_expression(text)


names = st.from_regex(r"([a-z0-9-]{1,8}/)?[a-z0-9-]{1,12}", fullmatch=True).filter(
    lambda name: name not in ("image", "latent")
)
seeds = st.integers(0, MOST_SEED)
paths = st.text(min_size=1, max_size=20)
terms = st.lists(
    st.one_of(
        st.builds(Term, st.just("style"), names, st.floats(1e-6, 1)),
        st.builds(Term, st.just("image"), paths, st.floats(1e-6, 1)),
        st.builds(Term, st.just("style"), names, st.floats(1e-6, 1), seeds),
        st.builds(Term, st.just("latent"), st.just(""), st.floats(1e-6, 1), seeds),
    ),
    min_size=1,
    max_size=6,
)


@given(terms)
def test_round_trip(parts: list[Term]) -> None:
    total = sum(term.weight for term in parts)
    wanted = tuple(replace(term, weight=term.weight / total) for term in parts)
    if len(wanted) == 1:
        wanted = (replace(wanted[0], weight=1.0),)
    assert parse_expression(format_expression(wanted)) == wanted


@given(st.one_of(st.text(), st.text(alphabet='aimge:+"~/.01 \n-', max_size=30)))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parsed = parse_expression(text)
    except InputError as error:
        assert str(error)
    else:
        assert sum(term.weight for term in parsed) == pytest.approx(1)
        assert parse_expression(format_expression(parsed)) == parsed


def test_a_mix_is_the_weighted_sum(pack: Pack, tmp_path: Path) -> None:
    picture = np.zeros((40, 30, 3), np.uint8)
    picture[:] = (51, 102, 204)  # BGR
    path = str(tmp_path / "a+b:2.png")
    Path(path).write_bytes(cv2.imencode(".png", picture)[1].tobytes())
    code = resolve(
        parse_expression(f'great-wave:0.5+tiny/starry-night:0.3+image:"{path}":0.2'), pack
    )
    assert code.dtype == np.float32
    np.testing.assert_allclose(code, [0.5 + 0.2 * 0.8, 0.3 + 0.2 * 0.4, 0.2 * 0.2, 0], atol=1e-4)


def test_seeds_name_codes_for_good(pack: Pack) -> None:
    """The test graph gives the first numbers of z as the code."""
    latent = resolve(parse_expression("latent:7"), pack)
    np.testing.assert_array_equal(latent, draw_latent(7)[: len(latent)])
    assert not np.array_equal(latent, resolve(parse_expression("latent:8"), pack))
    varied = resolve(parse_expression("great-wave~7"), pack)
    middle = np.mean([draw_latent(seed)[: len(latent)] for seed in range(256)], axis=0)
    style = pack.style("great-wave").vector
    np.testing.assert_allclose(varied, style + VARIATION * (latent - middle), atol=1e-5)
    mix = resolve(parse_expression("latent:7:0.5+great-wave~7:0.5"), pack)
    np.testing.assert_allclose(mix, (latent + varied) / 2, atol=1e-6)


def test_a_pack_without_a_mapping_network(tmp_path: Path) -> None:
    members = packs.members()
    del members["mapping.onnx"]
    pack = write_pack(tmp_path / "a.stylepack", packs.manifest(), members)
    for text in ("latent:7", "great-wave~7"):
        with pytest.raises(InputError, match="no latent styles and no variations"):
            resolve(parse_expression(text), pack)


def test_resolve_refuses(pack: Pack, tmp_path: Path) -> None:
    for text, message in (
        ("grate-wave", "no style 'grate-wave'; did you mean great-wave"),
        ("other/great-wave", "'other' is not in use; the one in use is 'tiny'"),
        ("tiny/great-wave+other/great-wave", "one style pack; this one names other, tiny"),
        (f"image:{tmp_path}/no.jpg", "cannot read the picture .*No such file"),
        ("image:a\0b", "cannot read the picture"),
    ):
        with pytest.raises(InputError, match=message):
            resolve(parse_expression(text), pack)


def test_the_pack_that_an_expression_names() -> None:
    assert pack_named_by(parse_expression("a+image:b/c.jpg")) is None
    assert pack_named_by(parse_expression("p/a+b+p/c")) == "p"
