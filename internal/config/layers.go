package config

import (
	"maps"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
)

// envPrefix begins every environment variable that is a setting.
const envPrefix = "SALLYPORT_"

// reservedEnv are variables of that prefix that the program itself reads.
var reservedEnv = []string{"SALLYPORT_CONFIG"}

// serviceEnv is what Kubernetes and Docker links put into the environment for a
// service that is called sallyport.
var serviceEnv = regexp.MustCompile(`^SALLYPORT_(SERVICE_(HOST|PORT(_[A-Z0-9_]+)?)|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// EnvName returns the environment variable of a dotted key.
func EnvName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "__"))
}

// envLayer reads SALLYPORT_SECTION__KEY.
func (l *loader) envLayer() *node {
	tree := &node{kind: mapping}
	for _, name := range slices.Sorted(maps.Keys(l.env)) {
		rest, ok := strings.CutPrefix(name, envPrefix)
		if !ok || slices.Contains(reservedEnv, name) || serviceEnv.MatchString(name) {
			continue
		}
		at := Position{Source: "env " + name, layer: l.files + maxFiles}
		key := strings.ToLower(strings.ReplaceAll(rest, "__", "."))
		if header, ok := strings.CutPrefix(key, "identity.headers."); ok {
			key = "identity.headers." + textproto.CanonicalMIMEHeaderKey(strings.ReplaceAll(header, "_", "-"))
		}
		if !l.assign(tree, key, l.env[name], at) {
			l.unknown = append(l.unknown, &node{text: name, at: at})
		}
	}
	return tree
}

// flagLayer reads Source.Flags.
func (l *loader) flagLayer() *node {
	tree := &node{kind: mapping}
	for _, key := range slices.Sorted(maps.Keys(l.src.Flags)) {
		at := Position{Source: "flag --" + key, layer: l.files + maxFiles + 1}
		if l.assign(tree, key, l.src.Flags[key], at) {
			continue
		}
		if !printable(key) {
			at.Source = "flags"
			l.report(at, "", "a key that cannot be printed")
			continue
		}
		if near := nearest(key, allKeys()); near != "" {
			l.report(at, near, "unknown key %q, did you mean %q?", key, near)
		} else {
			l.report(at, "", "unknown key %q", key)
		}
	}
	return tree
}

// assign puts text at a dotted key of tree. It reports false if there is no
// such key; other mistakes it reports itself.
func (l *loader) assign(tree *node, key, text string, at Position) bool {
	if key == "admin" {
		key = "admin.listen"
	}
	if key == "gates" || strings.HasPrefix(key, "gates.") {
		l.report(at, "gates", "gates are written in a file; what they share can be set below \"defaults\"")
		return true
	}
	name, below := strings.CutPrefix(key, "identity.headers.")
	e, ok := find(key)
	if below && name != "" && !strings.Contains(name, ".") {
		e, ok = entry{target: new(string)}, true
	}
	if !ok {
		return false
	}
	n := fromText(e.target, text, at)
	switch e.target.(type) {
	case optional:
		if text != "{}" {
			l.report(at, key, "%q is a mapping: only {} can be given here, or its keys", key)
			return true
		}
		n = &node{kind: mapping, at: at, key: at}
	case section, *[]KeyPair, *map[string]string:
		l.report(at, key, "%q is a mapping or list: write it in a file, or give its keys", key)
		return true
	}
	if old := tree.lookup(key); old != nil && old.kind == mapping && n.kind == mapping {
		return true
	}
	if !tree.set(key, n) {
		l.report(at, key, "%q is given twice", key)
	}
	return true
}

// leftover reports environment variables that are neither a setting nor
// referred to by one.
func (l *loader) leftover() {
	var names []string
	for _, key := range allKeys() {
		names = append(names, EnvName(key))
	}
	for _, n := range l.unknown {
		if l.used[n.text] {
			continue
		}
		if near := nearest(n.text[len(envPrefix):], trimAll(names, envPrefix)); near != "" {
			l.report(n.at, "", "no such setting, did you mean %s?", envPrefix+near)
			continue
		}
		l.report(n.at, "", "no such setting; names are SALLYPORT_SECTION__KEY, with a double underscore")
	}
}

func trimAll(list []string, prefix string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = strings.TrimPrefix(s, prefix)
	}
	return out
}

// allKeys returns every dotted key that environment and flags can set.
func allKeys() []string {
	var keys []string
	for _, e := range topEntries {
		if !e.isSection() {
			keys = append(keys, e.key)
		}
	}
	for _, e := range gateEntries {
		if !e.isSection() && e.key != "path" {
			keys = append(keys, "defaults."+e.key)
		}
	}
	return keys
}
