"""Counts the machine instructions of a kernel's loop, on the way that whole aligned packs take.

Usage: cuobjdump -sass FILE.cubin | loop_instructions.py KERNEL OPCODE=COUNT...

The way is the shortest once round a loop that has exactly these counts of these opcodes ("FFMA=64",
"STG.E.128=4"). Whether it is the one meant is to be read in the listing that is printed; a way that
no data take is closed by an address of it ("0x730=0"). KERNEL is a regular expression that the
demangled name begins with. An instruction counts where it is issued, whatever its predicate.
Elements: eight a 16-byte load.
"""
import collections
import heapq
import re
import subprocess
import sys

FUNCTION = re.compile(r"Function : (\S+)")
INSTRUCTION = re.compile(r"\s+/\*([0-9a-f]{4,6})\*/\s+(?:(@!?U?P\w+)\s+)?(\S+)\s*(.*?)\s*;")
# Results a clock and multiprocessor, sm_90: CUDA C++ Best Practices Guide, 12.1.1. Others: 128.
SLOWER = {64: "FMNMX FSETP FSEL IADD3 ISETP LEA LOP3 PLOP3 PRMT SEL SHF VIADD VIMNMX",
          16: "BREV F2F F2FP F2I FLO I2F MUFU POPC"}

Instruction = collections.namedtuple("Instruction", "address predicate opcode operands")


def read_kernel(lines, kernel: str) -> list[Instruction]:
    bodies: dict[str, list[Instruction]] = {}
    body: list[Instruction] = []
    for line in lines:
        if function := FUNCTION.search(line):
            body = bodies.setdefault(function[1], [])
        elif found := INSTRUCTION.match(line):
            body.append(Instruction(int(found[1], 16), *found.groups()[1:]))
    names = subprocess.run(["c++filt"], input="\n".join(bodies), capture_output=True, text=True,
                           check=True).stdout.splitlines()
    chosen = [body for name, body in zip(names, bodies.values())
              if re.match(f"(void )?{kernel}", name.replace("cuqat::", ""))]
    if len(chosen) != 1:
        sys.exit(f"{len(chosen)} kernels begin with {kernel}")
    return chosen[0]


def successors(body: list[Instruction]) -> list[list[int]]:
    at = {instruction.address: i for i, instruction in enumerate(body)}
    result = []
    for i, (_, predicate, opcode, operands) in enumerate(body):
        next_ones = [i + 1] if i + 1 < len(body) else []
        if opcode.startswith("BRA"):
            is_conditional = predicate is not None or operands.startswith(("P", "!P", "U", "!U"))
            target = at[int(re.search(r"0x([0-9a-f]+)", operands)[1], 16)]
            next_ones = [target] + (next_ones if is_conditional else [])
        elif opcode.startswith(("EXIT", "RET", "BRX", "JMP", "CALL")) and predicate is None:
            next_ones = []
        result.append(next_ones)
    return result


def shortest_round(next_ones, weights, goal, head: int) -> list[int] | None:
    """From `head` back to it, with the weights of what is passed adding up to the goal."""
    queue = [(0, head, (0,) * len(goal), None)]
    done = {}
    while queue:
        length, i, before, came_from = heapq.heappop(queue)
        if (i, before) in done:
            continue
        done[i, before] = came_from
        sums = tuple(map(sum, zip(before, weights[i])))
        if any(part > whole for part, whole in zip(sums, goal)):
            continue
        for j in next_ones[i]:
            if j != head:
                heapq.heappush(queue, (length + 1, j, sums, (i, before)))
            elif sums == goal:
                way = [(i, before)]
                while done[way[-1]] is not None:
                    way.append(done[way[-1]])
                return [i for i, _ in reversed(way)]
    return None


def main() -> None:
    body = read_kernel(sys.stdin, sys.argv[1])
    wanted = {opcode: int(count) for opcode, count in (each.split("=") for each in sys.argv[2:])}
    weights = [tuple(int(f"{each.opcode}.".startswith(f"{opcode}.")
                         or f"{each.address:#x}" == opcode) for opcode in wanted) for each in body]
    next_ones = successors(body)
    heads = {j for i, those in enumerate(next_ones) for j in those if j <= i}
    ways = [way for head in sorted(heads)
            if (way := shortest_round(next_ones, weights, tuple(wanted.values()), head))]
    if not ways:
        sys.exit("no loop has these counts")
    way = [body[i] for i in min(ways, key=len)]
    for instruction in way:
        print(f"{instruction.address:05x} {instruction.predicate or '':5} {instruction.opcode} "
              f"{instruction.operands}")
    elements = 8 * sum(instruction.opcode.startswith("LDG.E.128") for instruction in way)
    opcodes = collections.Counter(instruction.opcode.split(".")[0] for instruction in way)
    print(dict(opcodes.most_common()))
    print(f"{len(way)} instructions, {len(way) / elements:.1f} an element", end="")
    for rate, those in SLOWER.items():
        count = sum(opcodes[opcode] for opcode in those.split())
        print(f"; of those with {rate} results a clock {count / elements:.1f}", end="")
    print()


if __name__ == "__main__":
    main()
