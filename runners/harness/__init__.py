"""The half of a runner that lives in the sandbox: standard library only, Python 3.9 syntax.

Here it is a package of modules; there it is one text over stdin (`runners/bundling.py`), executed in one namespace:
never a file, never in sys.modules, so that code of the repository finds nothing of it to import or to change.

Requests: JSON lines on stdin. Replies: a private copy of stdout; descriptors 1 and 2 then point at a file, so
nothing a test prints can forge a reply. Keeps its own `open` and clock, since tests patch them. Imports the
target's pytest late and nothing of ours ever. Not a security boundary: the container around it is.

Four kinds of process, each forked from the one before, so that no candidate ever runs in one that lives on:
server (the standard library only) > suite child (one cold pytest run);
server > import zygote (pytest, no code of the repository) > one child per execution;
import zygote > swap zygote (conftest, tests and repository imported) > one child per execution.
Importing these modules has no effect; `instrument` and `Recorder` are used outside of the sandbox too.
"""
