#!/usr/bin/env python
"""torchrun, with its arguments, that leaves the last word to the tool it runs: no report, no traceback of its own."""
import logging
import signal
import sys

from torch.distributed import run
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

TALKATIVE = 'torch.distributed.elastic.multiprocessing.api', 'torch.distributed.elastic.agent.server.api'


def main():
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    args = sys.argv[1:]
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:       # nohup, which torchrun overrules
        args = ['--signals-to-handle', 'SIGTERM,SIGINT,SIGQUIT', *args]
    try:
        run.main(args)
    except SignalException as e:
        sys.exit(128 + e.sigval)
    except ChildFailedError as e:
        for rank, failure in e.failures.items():
            # SIGTERM is what torchrun ends the others with; one that ends with a code has said itself why.
            if failure.exitcode < 0 and failure.exitcode != -signal.SIGTERM:
                print("rank %d (process %d) was ended by signal %d" % (rank, failure.pid, -failure.exitcode),
                      file=sys.stderr)
        sys.exit(1)


if __name__ == '__main__':
    main()
