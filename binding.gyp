# SPDX-License-Identifier: Apache-2.0
# The native addon: libbpf and netlink as JavaScript functions.
{
  'targets': [
    {
      'target_name': 'bpvs',
      'sources': [
        'native/addon.cc',
        'native/arguments.cc',
        'native/error.cc',
        'native/link.cc',
        'native/map.cc',
        'native/netlink.cc',
        'native/object.cc',
        'native/program.cc',
        'native/sockets.cc',
        'native/system.cc',
        'native/tc.cc',
        'native/watch.cc',
      ],
      'include_dirs': [
        '<!(node -p "require(\'node-addon-api\').include_dir")',
      ],
      # Node-API 8 is the newest that every supported distribution's headers know.
      'defines': ['NAPI_VERSION=8', 'NODE_ADDON_API_DISABLE_DEPRECATED'],
      'cflags': ['-Wall', '-Wextra', '-Werror', '-fvisibility=hidden', '<!@(pkg-config --cflags libbpf libmnl)'],
      'cflags_cc!': ['-fno-exceptions', '-fno-rtti', '-std=gnu++17', '-std=gnu++20'],
      'cflags_cc': ['-std=c++17', '-fexceptions'],
      'libraries': ['<!@(pkg-config --libs libbpf libmnl)'],
    },
  ],
}
