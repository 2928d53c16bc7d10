"""How a repository's dependencies get into an image, from its own files.

`plan` decides what is needed (`declared` holds what it says, `files` reads, one module for each family of files),
`image` builds it, `install` is the half that runs in the build container, `failure` tells why a build failed, and
`interpreter` says what an interpreter of this machine lacks.
"""
