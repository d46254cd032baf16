"""Tokens per CPU-second of llama.cpp, measured as examples/speed.rs measures ours.

Usage: llama_speed.py FILE [THREADS [RUNS]]. Needs the package llama-cpp-python. Prints one line of JSON.
"""

import json
import os
import resource
import statistics
import sys
import time

import llama_cpp

PROMPT, WRITTEN = 512, 32


def run(model):
    """CPU-seconds for the prompt and for the tokens written after it."""
    prompt = [(i * 7919 + 13) % 30_000 for i in range(PROMPT)]
    model.reset()
    start = time.process_time()
    model.eval(prompt)
    token = model.sample(temp=0.0)
    middle = time.process_time()
    for _ in range(WRITTEN):
        model.eval([token])
        token = model.sample(temp=0.0)
    return middle - start, time.process_time() - middle


def main():
    path = sys.argv[1]
    threads = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    runs = int(sys.argv[3]) if len(sys.argv) > 3 else 3
    model = llama_cpp.Llama(
        model_path=path, n_ctx=1024, n_batch=512, n_ubatch=512, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    times = [run(model) for _ in range(runs)]
    print(
        json.dumps(
            {
                "file": os.path.basename(path),
                "precision": f"llama.cpp {llama_cpp.__version__}",
                "prefill": round(statistics.median(PROMPT / a for a, _ in times), 1),
                "decode": round(statistics.median(WRITTEN / b for _, b in times), 2),
                "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
            }
        )
    )


if __name__ == "__main__":
    main()
