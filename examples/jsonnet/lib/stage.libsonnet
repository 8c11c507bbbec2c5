// A pipeline that runs one line of shell for each file of a repo.
function(name, source, line) {
  pipeline: { name: name },
  input: { pfs: { repo: source, glob: '/*' } },
  transform: { cmd: ['/bin/sh'], stdin: [line] },
}
