# The image in which egcfg-fix runs a repository's tests. runners/environment.py builds it, with the repository's own
# dependencies in requirements.txt; the network is there while it is built and never afterwards.
# Both builders take this file: no heredoc, no mount, no syntax line. Nothing but python and pip is needed in the base.
ARG BASE_IMAGE=python:3.11-slim
FROM ${BASE_IMAGE}
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
RUN python -m pip install --no-cache-dir --disable-pip-version-check "pytest>=7"
COPY requirements.txt /usr/local/share/egcfg-fix/requirements.txt
RUN python -m pip install --no-cache-dir --disable-pip-version-check -r /usr/local/share/egcfg-fix/requirements.txt \
    && python -m compileall -q "$(python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')" || exit 1
RUN grep -q '^sandbox:' /etc/passwd || echo 'sandbox:x:10001:10001::/tmp:/bin/sh' >> /etc/passwd
ENV HOME=/tmp LANG=C.UTF-8 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /
