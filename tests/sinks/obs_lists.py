"""An OBS script for the tests: loads the shipped one, and writes down what its lists show.

OBS finds SHIPPED (the shipped script), SERVER (its address) and LISTED (the file) in its
environment.
"""

import importlib.util
import json
import os
from pathlib import Path

import obspython as obs

_found = importlib.util.spec_from_file_location("shipped", os.environ["SHIPPED"])
shipped = importlib.util.module_from_spec(_found)
_found.loader.exec_module(shipped)


def script_load(given):
    shipped.settings["server"] = os.environ["SERVER"]
    shipped.script_load(given)
    properties = shipped.script_properties()
    listed = {}
    for name in ("stream", "style"):
        entries = obs.obs_properties_get(properties, name)
        count = obs.obs_property_list_item_count(entries)
        listed[name] = [obs.obs_property_list_item_string(entries, i) for i in range(count)]
    obs.obs_properties_destroy(properties)
    with Path(os.environ["LISTED"]).open("w") as file:
        json.dump(listed, file)


def script_unload():
    shipped.script_unload()
