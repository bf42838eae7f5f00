"""readers.py DUMP EXPECTED.json: what two readers of Windows' crash dumps in Python, by other authors, find in a dump."""

import json
import struct
import sys

import kdmp_parser
from volatility3.framework import contexts, interfaces
from volatility3.framework.layers import crash, intel, physical


def check(reader, found):
    for what, value in found.items():
        assert value == expected[what], f"{reader}: {what} is {value!r}, not {expected[what]!r}"
    print(f"{reader}: {', '.join(found)}")


def read(pages, address, length):
    """Bytes at a virtual address, by a function that gives whole pages."""
    result = b""
    while len(result) < length:
        page = pages((address + len(result)) & ~0xFFF)
        assert page is not None, f"{address + len(result):#x} is not in the dump"
        within = (address + len(result)) & 0xFFF
        result += bytes(page[within:within + length - len(result)])
    return result


def driver(memory, head):
    """The driver's entry in PsLoadedModuleList: KLDR_DATA_TABLE_ENTRY by dt nt!_KLDR_DATA_TABLE_ENTRY."""
    entry, = struct.unpack("<Q", memory(head, 8))
    while entry != head:
        following, = struct.unpack("<Q", memory(entry, 8))
        base, = struct.unpack("<Q", memory(entry + 0x30, 8))
        size, = struct.unpack("<I", memory(entry + 0x40, 4))
        length, _, _, buffer = struct.unpack("<HHIQ", memory(entry + 0x58, 16))
        name = memory(buffer, length).decode("utf-16-le")
        if name == expected["driver"]["name"]:
            return {"base": base, "size": size, "name": name}
        entry = following
    return None


def stack(memory):
    return [[address, struct.unpack("<Q", memory(address, 8))[0]] for address, _ in expected["stack"]]


path = sys.argv[1]
with open(sys.argv[2], encoding="utf-8") as file:
    expected = json.load(file)
GENERAL = ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)), "rip"]
expected["registers"] = {name: expected["registers"][name] for name in GENERAL}

dump = kdmp_parser.KernelDumpParser(path)
pages = dump.read_virtual_page
memory = lambda address, length: read(pages, address, length)
check("kdmp_parser", {
    "code": dump.header.BugCheckCode,
    "parameters": list(dump.header.BugCheckCodeParameter),
    "registers": {name: getattr(dump.context, name.capitalize()) for name in GENERAL},
    "cr3": dump.directory_table_base,
    "driver": driver(memory, dump.header.PsLoadedModuleList),
    "stack": stack(memory),
})

context = contexts.Context()


def layer(name, kind, **config):
    for key, value in config.items():
        context.config[interfaces.configuration.path_join(name, key)] = value
    made = kind(context, name, name)
    context.layers.add_layer(made)
    return made


layer("file", physical.FileLayer, location=f"file://{path}")
found = layer("dump", crash.WindowsCrashDump64Layer, base_layer="file")
header = found.get_header()
memory = layer("virtual", intel.WindowsIntel32e, memory_layer="dump", page_map_offset=found.dtb).read
check("volatility3", {
    "code": int(header.BugCheckCode),
    "parameters": [int(parameter) for parameter in header.BugCheckCodeParameter],
    "cr3": found.dtb,
    "driver": driver(memory, int(header.PsLoadedModuleList)),
    "stack": stack(memory),
})
