"""Looks at answers that have no validator of their own that could be had: their parsers, the schemas of
cloud-init, and what is known of the structures of autoinstall, AutoYaST and Agama. Takes the scripts out of them.

    structures.py SCHEMAS <JOBS     jobs as JSON: [{"kind": …, "file": …, "told": …}]; the result is JSON as well
"""

import base64
import json
import os
import shlex
import sys
import tomllib
import urllib.parse
import xml.etree.ElementTree as ElementTree

import jsonschema
import yaml

YAST = "{http://www.suse.com/1.0/yast2ns}"
TYPE = "{http://www.suse.com/1.0/configns}type"


class Wrong(Exception):
    """What is wrong with an answer."""


class Answer:
    def __init__(self, job, schemas):
        self.told = job["told"]
        self.schemas = schemas
        with open(job["file"], encoding="utf-8") as file:
            self.text = file.read()
        self.scripts = []

    def script(self, where, text, interpreter="sh"):
        """A script of the answer. One for another interpreter than a shell is left out."""
        words = shlex.split(interpreter) or ["sh"]
        if text.startswith("#!"):
            words = text.split("\n", 1)[0][2:].split()
        name = os.path.basename(words[0])
        if name == "env" and len(words) > 1:
            name = words[1]
        if name not in ("sh", "bash", "dash", "ash", "shell"):
            return
        if not text.endswith("\n"):
            text += "\n"
        self.scripts.append(
            {"told": f"{self.told}, {where}", "text": text, "bash": name == "bash"}
        )

    def need(self, truth, message):
        if not truth:
            raise Wrong(message)


def preseed(answer):
    lines = answer.text.replace("\\\n", "").splitlines()
    for line in lines:
        words = line.split(None, 3)
        if len(words) == 4 and words[1].endswith("_command") and not line.startswith("#"):
            answer.script(words[1], words[3])


def kickstart(answer):
    section = None
    for number, line in enumerate(answer.text.splitlines(), 1):
        word = (line.split() or [""])[0]
        if section:
            if word == "%end":
                where, interpreter, lines = section
                answer.script(where, "\n".join(lines), interpreter)
                section = None
            else:
                section[2].append(line)
        elif word in ("%pre", "%pre-install", "%post", "%onerror", "%traceback"):
            # Anaconda's own shell is bash.
            interpreter = "bash"
            words = shlex.split(line)
            for index, argument in enumerate(words):
                if argument.startswith("--interpreter="):
                    interpreter = argument.split("=", 1)[1]
                elif argument == "--interpreter":
                    interpreter = words[index + 1]
            section = (f"line {number}, {word}", interpreter, [])


def esxi(answer):
    """ESXi's own kickstart: a section ends where the next one begins."""
    section = None
    for number, line in enumerate(answer.text.splitlines() + ["%end"], 1):
        word = (line.split() or [""])[0]
        if word.startswith("%"):
            if section:
                answer.script(section[0], "\n".join(section[1]))
            section = None
            known = ("%pre", "%post", "%firstboot", "%end", "%include")
            answer.need(word in known, f"line {number}: there is no section {word}")
            if word in known[:3] and "--interpreter=python" not in line:
                section = (f"line {number}, {word}", [])
        elif section:
            section[1].append(line)


def autoyast(answer):
    root = ElementTree.fromstring(answer.text)
    answer.need(root.tag == YAST + "profile", f"the root is {root.tag}, not {YAST}profile")
    for element in root.iter():
        answer.need(
            element.tag.startswith(YAST), f"{element.tag} is outside of the name space {YAST}"
        )
        kind = element.get(TYPE) or element.get("t")
        text = (element.text or "").strip()
        name = element.tag.removeprefix(YAST)
        if kind == "boolean":
            answer.need(text in ("true", "false"), f"<{name}> is boolean and holds {text!r}")
        elif kind == "integer":
            answer.need(text.lstrip("-").isdigit(), f"<{name}> is an integer and holds {text!r}")
        elif kind in ("list", "map"):
            answer.need(not text, f"<{name}> is a {kind} and holds the text {text!r}")
        else:
            answer.need(
                kind in (None, "string", "symbol", "disksize"), f"<{name}> has the type {kind!r}"
            )
        if kind == "list":
            tags = {child.tag for child in element}
            answer.need(len(tags) <= 1, f"the list <{name}> has elements of several names")
        elif kind != "list" and len(element):
            names = [child.tag for child in element]
            # A map has each of its keys once.
            twice = {tag for tag in names if names.count(tag) > 1}
            rules = name in ("rule",)
            answer.need(rules or not twice, f"<{name}> is no list and has {twice} more than once")
    lists = ("partitioning", "users", "groups", "scripts/chroot-scripts", "scripts/init-scripts",
             "scripts/post-scripts", "scripts/pre-scripts", "scripts/postpartitioning-scripts",
             "software/packages", "software/patterns", "software/products", "networking/interfaces",
             "networking/dns/nameservers", "networking/dns/searchlist", "networking/routing/routes")
    for path in lists:
        found = root.find("/".join(YAST + part for part in path.split("/")))
        if found is not None:
            kind = found.get(TYPE) or found.get("t")
            answer.need(kind == "list", f"<{path}> is a list and does not say so")
    for scripts in root.iterfind(f"{YAST}scripts/*"):
        for script in scripts:
            source = script.find(YAST + "source")
            location = script.find(YAST + "location")
            where = scripts.tag.removeprefix(YAST)
            answer.need(
                source is not None or location is not None, f"a script of <{where}> has no source"
            )
            if source is not None:
                interpreter = script.find(YAST + "interpreter")
                interpreter = "shell" if interpreter is None else (interpreter.text or "").strip()
                # The installation system's shell is bash.
                interpreter = "bash" if interpreter == "shell" else interpreter
                answer.script(where, (source.text or "").lstrip("\n"), interpreter)


AGAMA = set(
    "access bootloader dasd files hostname iscsi l10n legacyAutoyastStorage localization network ntp "
    "product proxy questions root scripts security software storage user zfcp $schema".split()
)


def agama(answer):
    profile = json.loads(answer.text)
    unknown = set(profile) - AGAMA
    answer.need(not unknown, f"Agama knows no {', '.join(sorted(unknown))}")
    product = profile.get("product", {})
    answer.need(isinstance(product.get("id", ""), str), "product.id is no text")
    for key in ("root", "user"):
        for name, value in profile.get(key, {}).items():
            answer.need(value is not None, f"{key}.{name} is null")
    for connection in profile.get("network", {}).get("connections", []):
        answer.need("id" in connection, "a connection has no id")
        for address in connection.get("addresses", []):
            answer.need("/" in address, f"the address {address} has no prefix")
    for kind, scripts in profile.get("scripts", {}).items():
        kinds = ("pre", "postPartitioning", "post", "init")
        answer.need(kind in kinds, f"there are no {kind!r} scripts")
        for script in scripts:
            answer.need("name" in script, f"a script of {kind} has no name")
            text = script.get("content", script.get("body"))
            answer.need(text is not None or "url" in script, f"{script['name']} has no content")
            if text is not None:
                answer.need(text.startswith("#!"), f"{script['name']} does not begin with #!")
                answer.script(f"{kind}, {script['name']}", text)


# Of subiquity's reference manual: what a key holds.
AUTOINSTALL = {
    "version": int, "interactive-sections": list, "early-commands": list, "locale": str,
    "refresh-installer": dict, "keyboard": dict, "source": dict, "network": dict,
    "proxy": (str, type(None)), "apt": dict, "storage": dict, "identity": dict,
    "active-directory": dict, "ubuntu-pro": dict, "ubuntu-advantage": dict, "ssh": dict,
    "codecs": dict, "drivers": dict, "oem": dict, "snaps": list,
    "debconf-selections": str, "packages": list, "kernel": dict, "kernel-crash-dumps": dict,
    "timezone": str, "updates": str, "shutdown": str, "late-commands": list,
    "error-commands": list, "reporting": dict, "user-data": dict, "zdevs": list,
}


def schema(answer, name, value):
    path = os.path.join(answer.schemas, name)
    with open(path, encoding="utf-8") as file:
        validator = jsonschema.Draft4Validator(json.load(file))
    for error in validator.iter_errors(value):
        place = ".".join(str(part) for part in error.absolute_path)
        raise Wrong(f"{name}: {place}: {error.message}")


def commands(answer, where, value):
    for index, command in enumerate(value):
        if isinstance(command, str):
            answer.script(f"{where} {index + 1}", command)
        else:
            strings = isinstance(command, list) and all(isinstance(word, str) for word in command)
            answer.need(strings, f"{where} {index + 1} is neither a text nor a list of texts")
            if len(command) > 2 and command[0] in ("sh", "bash") and command[1] == "-c":
                answer.script(f"{where} {index + 1}", command[2], command[0])


def cloud_config(answer, data):
    schema(answer, "schema-cloud-config-v1.json", data)
    for key in ("runcmd", "bootcmd"):
        commands(answer, key, data.get(key, []))
    for file in data.get("write_files", []):
        text = file.get("content", "")
        if file.get("encoding") in ("b64", "base64"):
            text = base64.b64decode(text).decode()
        if text.startswith("#!"):
            answer.script(file["path"], text)


def user_data(answer):
    answer.need(answer.text.startswith("#cloud-config\n"), "it does not begin with #cloud-config")
    data = yaml.safe_load(answer.text) or {}
    answer.need(isinstance(data, dict), "it is no mapping")
    install = data.pop("autoinstall", None)
    cloud_config(answer, data)
    if install is None:
        return
    for key, value in install.items():
        answer.need(key in AUTOINSTALL, f"autoinstall knows no {key}")
        answer.need(isinstance(value, AUTOINSTALL[key]), f"autoinstall.{key} holds {value!r}")
    answer.need(install.get("version") == 1, "autoinstall.version is not 1")
    identity = install.get("identity")
    answer.need(identity or "user-data" in install, "there is neither identity nor user-data")
    for key in ("hostname", "username", "password") if identity else ():
        answer.need(isinstance(identity.get(key), str), f"identity.{key} is no text")
    cloud_config(answer, install.get("user-data", {}))
    network = install.get("network")
    if network:
        network = network.get("network", network)
        answer.need(network.get("version") == 2, "network.version is not 2")
        known = {"version", "renderer", "ethernets", "bonds", "bridges", "vlans", "wifis"}
        answer.need(set(network) <= known, f"netplan knows no {set(network) - known}")
        for kind in ("bonds", "vlans"):
            for name, link in network.get(kind, {}).items():
                below = link.get("interfaces", [link.get("link")] if kind == "vlans" else [])
                others = set(network.get("ethernets", {})) | set(network.get("bonds", {}))
                answer.need(set(below) <= others, f"{kind}.{name} is above {below}: not there")
    for key in ("early-commands", "late-commands", "error-commands"):
        commands(answer, key, install.get(key, []))


def ignition(answer):
    data = json.loads(answer.text)
    for file in data.get("storage", {}).get("files", []):
        source = file.get("contents", {}).get("source") or ""
        if not source.startswith("data:"):
            continue
        head, _, body = source[len("data:"):].partition(",")
        body = urllib.parse.unquote_to_bytes(body)
        if head.endswith(";base64"):
            body = base64.b64decode(body)
        text = body.decode("utf-8", "replace")
        if text.startswith("#!"):
            answer.script(file["path"], text)
        elif '"ignition"' in text:
            inner = json.loads(text)
            answer.need("version" in inner["ignition"], f"{file['path']} has no version")


def shell(interpreter):
    return lambda answer: answer.script("itself", answer.text, interpreter)


KINDS = {
    "preseed": preseed,
    "kickstart": kickstart,
    "esxi": esxi,
    "autoyast": autoyast,
    "agama": agama,
    "user-data": user_data,
    "ignition": ignition,
    "json": lambda answer: json.loads(answer.text),
    "yaml": lambda answer: list(yaml.safe_load_all(answer.text)),
    "toml": lambda answer: tomllib.loads(answer.text),
    "sh": shell("sh"),
}


def main():
    scripts, complaints = [], []
    for job in json.load(sys.stdin):
        answer = Answer(job, sys.argv[1])
        try:
            KINDS[job["kind"]](answer)
        except (Wrong, ValueError, KeyError, yaml.YAMLError, ElementTree.ParseError) as error:
            complaints.append(f"{answer.told}: {type(error).__name__}: {error}")
        scripts += answer.scripts
    json.dump({"scripts": scripts, "complaints": complaints}, sys.stdout)


main()
