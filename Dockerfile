# The ground on which egcfg-fix installs a repository's dependencies: a base image with Python, uv, a user without rights,
# and the standard library's bytecode (official images leave it out, and every cold run would compile it again).
# runners/environment/image.py builds it once for each base image, without a network.
# Both builders take this file: no heredoc, no mount, no syntax line. Nothing but python is needed in the base.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}
USER 0:0
COPY tools /usr/local/share/egcfg-fix
RUN p=$(command -v python || command -v python3) || { echo "egcfg-fix: no python in the base image" >&2; exit 127; }; \
    "$p" -m compileall -q -j 0 -x '/(test|tests|idlelib|lib2to3|turtledemo|ensurepip|site-packages|dist-packages)/' \
        "$("$p" -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')" || true; \
    mkdir -p /repo && chmod 1777 /repo; \
    grep -q '^sandbox:' /etc/passwd || echo 'sandbox:x:10001:10001::/tmp:/bin/sh' >> /etc/passwd
ENV HOME=/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /
