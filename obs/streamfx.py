"""StreamFX in OBS Studio: Tools > Scripts > + > this file.

Lists the streams and styles of a StreamFX server, starts and stops restyling, adds a stream to
the current scene, and binds hot keys (Settings > Hotkeys, "StreamFX: …"). It needs nothing but
the Python that OBS uses.
"""

import json
import queue
import threading
import urllib.error
import urllib.parse
import urllib.request

import obspython as obs

TIMEOUT = 3.0  # seconds that the server may take
STEP = 0.1  # of the strength
MOST_WAITING = 16  # key presses that wait for the server
DEFAULT_SERVER = "http://127.0.0.1:8080"

settings = {"server": DEFAULT_SERVER, "token": "", "stream": "", "style": "", "source": "demo:"}
hotkey_ids = {}
work = queue.Queue(MOST_WAITING)
workers = []  # one, while the script is loaded


# The server


def call(method, path, body=None):
    """The server's answer, parsed; raises OSError with a sentence where there is none."""
    request = urllib.request.Request(settings["server"].rstrip("/") + path, method=method)
    if settings["token"]:
        request.add_header("Authorization", "Bearer " + settings["token"])
    data = None
    if body is not None:
        data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    try:
        with urllib.request.urlopen(request, data, TIMEOUT) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        try:
            said = json.loads(error.read())["error"]
        except (ValueError, KeyError, TypeError):
            said = str(error)
        raise OSError(said) from error
    except ValueError as error:
        raise OSError(f"the server's address cannot be used: {error}") from error
    return json.loads(text) if text else None


def streams():
    """The names of the streams on the air."""
    return [stream["id"] for stream in call("GET", "/api/streams")["streams"]]


def styles():
    """(name, title) of every style."""
    return [(style["name"], style["title"]) for style in call("GET", "/api/styles")["styles"]]


def stream_path():
    """The path of the chosen stream, or of the only one."""
    name = settings["stream"]
    if not name:
        names = streams()
        if len(names) != 1:
            raise OSError("choose a stream first" if names else "no stream is on the air")
        name = names[0]
    return "/api/streams/" + urllib.parse.quote(name, safe="")


def change(**what):
    """Change the chosen stream."""
    return call("PATCH", stream_path(), what)


def toggle():
    change(enabled=not call("GET", stream_path())["enabled"])


def next_style(step):
    names = [name for name, _ in styles()]
    now = call("GET", stream_path())["style"]
    at = names.index(now) + step if now in names else 0
    change(style=names[at % len(names)], enabled=True)


def strength(step):
    now = call("GET", stream_path())["strength"]
    change(strength=round(min(max(now + step, 0.0), 1.0), 2))


def start_restyling():
    """Switch the chosen stream's style on, or open a stream of the given source."""
    if settings["stream"] or streams():
        what = {"enabled": True}
        if settings["style"]:
            what["style"] = settings["style"]
        change(**what)
    else:
        body = {"source": settings["source"]}
        if settings["style"]:
            body["style"] = settings["style"]
        settings["stream"] = call("POST", "/api/streams", body)["id"]


def stop_restyling():
    change(enabled=False)


# Everything that asks the server runs here, so that OBS never waits for it.


def _work():
    while True:
        task = work.get()
        if task is None:
            return
        try:
            task()
        except (OSError, ValueError, KeyError, TypeError) as error:
            obs.script_log(obs.LOG_WARNING, f"StreamFX: {error}")


def later(task):
    """Do it on the worker; it is left out where too much waits already."""
    try:
        work.put_nowait(task)
    except queue.Full:
        obs.script_log(obs.LOG_WARNING, "StreamFX: the server is slow; a key press is left out")


# The scene


def add_to_scene(_properties=None, _button=None):
    """A browser source with the chosen stream's player in the current scene."""
    name = settings["stream"]
    if not name:
        obs.script_log(obs.LOG_WARNING, "StreamFX: choose a stream first")
        return False
    page = f"{settings['server'].rstrip('/')}/watch/{urllib.parse.quote(name, safe='')}?clean=1"
    given = obs.obs_data_create()
    obs.obs_data_set_string(given, "url", page)
    obs.obs_data_set_int(given, "width", 1280)
    obs.obs_data_set_int(given, "height", 720)
    source = obs.obs_source_create("browser_source", f"StreamFX {name}", given, None)
    obs.obs_data_release(given)
    if source is None:
        obs.script_log(obs.LOG_WARNING, "StreamFX: this OBS has no browser source")
        return False
    current = obs.obs_frontend_get_current_scene()
    obs.obs_scene_add(obs.obs_scene_from_source(current), source)
    obs.obs_source_release(current)
    obs.obs_source_release(source)
    return True


# What OBS calls

HOTKEYS = (
    ("streamfx_next", "StreamFX: next style", lambda: next_style(1)),
    ("streamfx_previous", "StreamFX: previous style", lambda: next_style(-1)),
    ("streamfx_toggle", "StreamFX: style off and on", toggle),
    ("streamfx_stronger", "StreamFX: stronger", lambda: strength(STEP)),
    ("streamfx_weaker", "StreamFX: weaker", lambda: strength(-STEP)),
)


def script_description():
    return "Restyle live video with a StreamFX server. Hot keys are under Settings > Hotkeys."


def script_defaults(given):
    obs.obs_data_set_default_string(given, "server", DEFAULT_SERVER)
    obs.obs_data_set_default_string(given, "source", "demo:")


def script_update(given):
    for name in settings:
        settings[name] = obs.obs_data_get_string(given, name).strip()


def script_properties():
    properties = obs.obs_properties_create()
    text, secret = obs.OBS_TEXT_DEFAULT, obs.OBS_TEXT_PASSWORD
    obs.obs_properties_add_text(properties, "server", "Server", text)
    obs.obs_properties_add_text(properties, "token", "Control token", secret)
    kind, form = obs.OBS_COMBO_TYPE_LIST, obs.OBS_COMBO_FORMAT_STRING
    listed = obs.obs_properties_add_list(properties, "stream", "Stream", kind, form)
    looks = obs.obs_properties_add_list(properties, "style", "Style", kind, form)
    _fill(listed, looks)
    obs.obs_properties_add_text(properties, "source", "Source of a new stream", text)
    buttons = (
        ("refresh", "Read the lists again", lambda *_: _fill(listed, looks)),
        ("start", "Start restyling", lambda *_: later(start_restyling)),
        ("stop", "Stop restyling", lambda *_: later(stop_restyling)),
        ("add", "Add the stream to this scene", add_to_scene),
    )
    for name, label, press in buttons:
        obs.obs_properties_add_button(properties, name, label, press)
    return properties


def _fill(listed, looks):
    """Read the lists anew; True, for OBS then shows them again."""
    obs.obs_property_list_clear(listed)
    obs.obs_property_list_clear(looks)
    obs.obs_property_list_add_string(listed, "(the only one)", "")
    obs.obs_property_list_add_string(looks, "(as it is)", "")
    try:
        for name in streams():
            obs.obs_property_list_add_string(listed, name, name)
        for name, title in styles():
            obs.obs_property_list_add_string(looks, title, name)
    except (OSError, ValueError, KeyError) as error:
        obs.script_log(obs.LOG_WARNING, f"StreamFX: {error}")
    return True


def script_load(given):
    workers.append(threading.Thread(target=_work, name="streamfx", daemon=True))
    workers[-1].start()
    for name, label, task in HOTKEYS:

        def press(pressed, task=task):
            if pressed:
                later(task)

        hotkey_ids[name] = obs.obs_hotkey_register_frontend(name, label, press)
        saved = obs.obs_data_get_array(given, name)
        obs.obs_hotkey_load(hotkey_ids[name], saved)
        obs.obs_data_array_release(saved)


def script_save(given):
    for name, number in hotkey_ids.items():
        saved = obs.obs_hotkey_save(number)
        obs.obs_data_set_array(given, name, saved)
        obs.obs_data_array_release(saved)


def script_unload():
    while True:  # what waits is of no use any more
        try:
            work.get_nowait()
        except queue.Empty:
            break
    work.put(None)
    while workers:
        workers.pop().join(2 * TIMEOUT)
