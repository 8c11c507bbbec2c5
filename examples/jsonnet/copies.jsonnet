// Two stages with names of their own: trunkline create pipeline --jsonnet copies.jsonnet \
//   --arg suffix=a --arg source=data
local stage = import 'lib/stage.libsonnet';

function(suffix, source)
  local first = 'copy-' + suffix;
  [
    stage(first, source, 'cp /pfs/' + source + '/* /pfs/out/'),
    stage('count-' + suffix, first, 'wc -c < $(ls /pfs/' + first + '/*) > /pfs/out/bytes'),
  ]
