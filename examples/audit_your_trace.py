"""Audit your own trace: what today's decisions cost, what better ones cost, and what no policy can beat.

    python examples/audit_your_trace.py [TRACE] [--fleet FLEET]

TRACE is any file that docs/workload.md lists, FLEET a preset or a file of docs/fleet.md. Without a trace a small one is
made from published statistics.
"""

import argparse

import numpy as np

import shadowprice as sp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace", nargs="?", metavar="TRACE")
    parser.add_argument("--fleet", default="llama-3.1-8b-h100")
    asked = parser.parse_args()

    fleet = sp.read_fleet(asked.fleet)
    if asked.trace is None:
        trace = sp.workload.PRESETS["azure-conv-like"](np.random.default_rng(0), requests=500)
    else:
        trace = sp.read_trace(asked.trace)
    print(sp.workload.describe(trace), "\n")

    # Every decision at 90 % of the rate that the fleet can sustain, where queues begin to matter.
    audit = sp.audit(trace, fleet, loads=[0.9])
    print(audit, "\n")

    # The same numbers as data: a certificate per decision and policy.
    for finding in audit.findings:
        for certificate in finding.certificates:
            if certificate.gap is not None:
                print(f"{certificate.decision}: {certificate.policy}: {100 * certificate.gap:.1f} % above the bound")


if __name__ == "__main__":
    main()
