// Package config reads the configuration of the server program.
//
// It stops the mistakes by which a guarded server stands open: a key that is
// misspelt and so silently ignored, a gate without authentication, a secret
// pasted into a file that ends up in a repository, a key that every account of
// the machine can read (OWASP ASVS 5.0, 13.3.1 and 16.5.3). It does not judge
// what the settings mean to the application, and it opens no socket.
//
// The format is YAML 1.2, of which JSON is a part, without its traps: no
// aliases, anchors, merge keys, tags, doubled keys or second documents; yes, no,
// on and off are words, not booleans. A file has at most 1 MiB and 16 levels.
//
// Layers, the later wins: built-in defaults, files in the order given,
// environment variables SALLYPORT_SECTION__KEY (a double underscore is the dot),
// flags. Mappings are merged key by key, lists and values are replaced whole;
// the gates of several files add up. A gate takes what it does not say from
// "defaults": its auth and each of its other keys whole, guard and backend key
// by key.
//
// The zero configuration admits nobody, and [Load] refuses it. Every mistake of
// every layer is reported at once, with line, column, excerpt and the nearest
// name. A dependency that cannot be read (a file, a key, a secret) is a mistake
// too: there is no start with half a policy.
package config
