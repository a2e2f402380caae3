"""How the peers' rows on a GPU are timed and compared: gpu_peers.py says what the figures are."""
import math
import statistics

import torch

TURNS = 40
SAMPLES = 30
LEAST_MICROSECONDS = 200.0  # of what is between two events
MOST_ROUNDS = 4
MOST_DRIFT = 0.03


class Row:
    """`ways` are functions of no arguments by library; `read` and `written` bytes that must be."""

    def __init__(self, name, elements, read, written, step, **ways):
        self.name, self.elements, self.read, self.written = name, elements, read, written
        self.step = step  # by which elements of two ways may differ: roundings of x / s and x * (1 / s)
        self.ways = ways
        self.rival = None  # what the ways are timed beside: a copy of the bytes
        self.operations = None

    def most_difference(self, output):
        """By which elements of another way may differ from those of the first one's output."""
        return self.step


class ProductRow(Row):
    """Timed beside a bf16 product, or a step of three, of the same shape. Its results may differ by
    a 64th of the largest: sums are in another order, and a code may round either way."""

    def __init__(self, name, shape, num_products, read, written, bf16, **ways):
        m, n, k = shape
        super().__init__(f"{name} {m}x{n}x{k}", m * n, read, written, None, **ways)
        self.rival = bf16
        self.operations = 2 * m * n * k * num_products

    def most_difference(self, output):
        return output.abs().max().item() / 64


def in_cuda_graph(way):
    """The way as a graph, which its first call captures: where a way reads results on the host, as
    checks of zero points may, that fails, and its row has no figures. Without a GPU the way itself,
    for comparing results."""
    if not torch.cuda.is_available():
        return way
    captured = []

    def replay():
        if not captured:
            way()  # compiles what is compiled
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                outputs = way()
            captured.extend((graph, outputs))
        captured[0].replay()
        return captured[1]

    return replay


def compiled(function):
    return torch.compile(function, dynamic=False)


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, high - low


def calls_worth_timing(work):
    begin = torch.cuda.Event(enable_timing=True)
    end = torch.cuda.Event(enable_timing=True)
    begin.record()
    work()
    end.record()
    torch.cuda.synchronize()
    return math.ceil(LEAST_MICROSECONDS / max(begin.elapsed_time(end) * 1e3, 1.0))


def measure(way, row):
    """Microseconds and percent of the rival, with their interquartile ranges, and counts."""
    half = max((row.read + row.written) // 2, 1)
    source = torch.ones(half, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    rival = row.rival or (lambda: target.copy_(source))
    read = lambda: source.amax()
    for _ in range(3):
        way()
        rival()
        read()
    way_calls, rival_calls = calls_worth_timing(way), calls_worth_timing(rival)
    times, percents, dropped = [], [], 0
    for _ in range(MOST_ROUNDS):
        events = []

        def timed(work, calls):
            read()
            begin = torch.cuda.Event(enable_timing=True)
            end = torch.cuda.Event(enable_timing=True)
            begin.record()
            for _ in range(calls):
                work()
            end.record()
            events.append((begin, end, calls))

        timed(rival, rival_calls)
        for _ in range(TURNS):
            timed(way, way_calls)
            timed(rival, rival_calls)
        torch.cuda.synchronize()
        spans = [begin.elapsed_time(end) * 1e3 / calls for begin, end, calls in events]
        for before, time, after in zip(spans[0::2], spans[1::2], spans[2::2]):
            if abs(after - before) > MOST_DRIFT * min(before, after):
                dropped += 1
                continue
            times.append(time)
            percents.append(50 * (before + after) / time)
        if len(times) >= SAMPLES:
            break
    if len(times) < SAMPLES:
        raise RuntimeError(f"{dropped} turns dropped")
    return quartiles(times), quartiles(percents), len(times), dropped


def first_line(exception):
    return (str(exception).splitlines() or [type(exception).__name__])[0]


def measured_row(row, library, way):
    l2_bytes = torch.cuda.get_device_properties(0).L2_cache_size
    cold = row.read + row.written > 4 * l2_bytes
    result = {"row": row.name, "library": library, "cache": "cold" if cold else "warm"}
    try:
        time, percent, samples, dropped = measure(way, row)
    except Exception as error:  # whatever a peer cannot do is a row without figures
        return result | {"error": f"NOT MEASURED: {first_line(error)}"}
    if row.operations:
        result["teraflops"] = round(row.operations / time[0] * 1e-6, 3)
    rival = "percent_of_bf16" if row.rival else "percent_of_copy"
    return result | {
        "median_us": round(time[0], 3), "iqr_us": round(time[1], 3),
        rival: round(percent[0], 3), f"{rival}_iqr": round(percent[1], 3),
        "elements": row.elements, "bytes_read": row.read, "bytes_written": row.written,
        "samples": samples, "dropped": dropped,
    }


def tensors_of(output):
    return [output] if isinstance(output, torch.Tensor) else list(output)


def disagreement(row, outputs):
    """Empty, or how two ways of a row differ; outputs are tensors by library, of one way or more."""
    (first, *others) = outputs.items()
    for library, tensors in others:
        if len(tensors) != len(first[1]):
            return f"{library}: {len(tensors)} outputs, {first[0]}: {len(first[1])}"
        for a, b in zip(first[1], tensors):
            if a.shape != b.shape or a.dtype != b.dtype:
                return f"{library}: {b.dtype} {list(b.shape)}, {first[0]}: {a.dtype} {list(a.shape)}"
            if a.dtype == torch.bool:
                continue  # an element at the border may round either way
            difference = (a.double() - b.double()).abs().max().item()
            if not difference <= row.most_difference(a.double()) * 1.01:
                return f"{library} and {first[0]} differ by {difference}"
    return ""


def compared(row):
    """How the ways that can run differ, or why that is not known, else empty; and the exceptions of
    those that cannot."""
    outputs, exceptions = {}, []
    for library, way in row.ways.items():
        try:
            outputs[library] = tensors_of(way())
        except Exception as exception:
            exceptions.append(exception)
    try:
        return disagreement(row, outputs) if outputs else "", exceptions
    except Exception as exception:
        return f"NOT COMPARED: {first_line(exception)}", exceptions
