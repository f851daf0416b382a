package config

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
)

// Doc is what is known of one key.
type Doc struct {
	Key     string // dotted, without indexes: gates.guard.idle
	Type    string // in words: "duration (30s, 5m, 24h)"
	Default string // as written in a file; empty: none
	Values  string // the words or the range allowed; empty: see Text
	Env     string // the environment variable; empty for what only files hold
	Text    string // one paragraph
}

// Lookup returns what is known of a key. A gate's key may be given with or
// without "gates" and its index.
func Lookup(key string) (Doc, bool) {
	key = plainKey(strings.TrimSpace(key))
	e, ok := find(key)
	if !ok {
		if e, ok = find("gates." + key); ok {
			key = "gates." + key
		}
	}
	if !ok {
		return Doc{}, false
	}
	return e.document(key), true
}

// Explain returns a paragraph about key, or the nearest names if there is none.
func Explain(key string) string {
	d, ok := Lookup(key)
	if !ok {
		if near := nearest(plainKey(strings.TrimSpace(key)), everyKey()); near != "" {
			return fmt.Sprintf("There is no key %q. Did you mean %q?", key, near)
		}
		if other := elsewhere(key[strings.LastIndexByte(key, '.')+1:], "gates"); other != "" {
			return fmt.Sprintf("There is no key %q. There is %q.", key, other)
		}
		return fmt.Sprintf("There is no key %q.", key)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n%s\n", d.Key, d.Type, d.Text)
	if d.Values != "" {
		fmt.Fprintf(&b, "Values: %s.\n", d.Values)
	}
	if d.Default != "" {
		fmt.Fprintf(&b, "Default: %s.\n", d.Default)
	}
	if d.Env != "" {
		fmt.Fprintf(&b, "Environment: %s.\n", d.Env)
	}
	if below := children(d.Key); len(below) > 0 {
		fmt.Fprintf(&b, "Keys:\n  %s\n", strings.Join(below, "\n  "))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// children returns the keys directly below a section, each with its type; nil
// for any other key.
func children(key string) []string {
	list, prefix, inside := topEntries, "", key+"."
	for _, scope := range []string{"gates.", "defaults."} {
		if rest, ok := strings.CutPrefix(key+".", scope); ok {
			list, prefix, inside = gateEntries, scope, rest
		}
	}
	var out []string
	for _, e := range list {
		rest, ok := strings.CutPrefix(e.key, inside)
		if ok && !strings.Contains(rest, ".") && prefix+e.key != "defaults.path" {
			out = append(out, prefix+e.key+": "+e.typeName())
		}
	}
	return out
}

// everyKey are the names by which Lookup knows a key: one of a gate also without
// its scope.
func everyKey() []string {
	var keys []string
	for _, e := range topEntries {
		keys = append(keys, e.key)
	}
	for _, scope := range []string{"gates.", "defaults.", ""} {
		for _, e := range gateEntries {
			if scope+e.key != "defaults.path" {
				keys = append(keys, scope+e.key)
			}
		}
	}
	return keys
}

func (e entry) document(key string) Doc {
	d := Doc{Key: key, Type: e.typeName(), Default: e.def, Text: e.doc}
	if _, ok := e.target.(*[]string); ok && e.def != "" {
		d.Default = "[" + strings.ReplaceAll(e.def, ",", ", ") + "]"
	}
	if e.note != "" {
		d.Default = strings.TrimPrefix(d.Default+", "+e.note, ", ")
	}
	if e.oneOf != "" {
		d.Values = strings.Join(strings.Fields(e.oneOf), ", ")
	} else if e.most > 0 {
		d.Values = e.number(e.least) + " to " + e.number(e.most)
	}
	switch e.target.(type) {
	case section, optional, *[]KeyPair, *map[string]string:
	default:
		if !strings.HasPrefix(key, "gates.") {
			d.Env = EnvName(key)
		} else if key != "gates.path" {
			d.Env = EnvName("defaults."+strings.TrimPrefix(key, "gates.")) + " (for all gates)"
		}
	}
	return d
}

func (e entry) number(n int64) string {
	switch e.target.(type) {
	case *Size:
		return Size(n).String()
	case *Rate:
		return Rate(n).String()
	case *ByteRate:
		return ByteRate(n).String()
	case *time.Duration:
		return formatDuration(time.Duration(n))
	}
	return fmt.Sprint(n)
}

func (e entry) typeName() string {
	switch e.target.(type) {
	case section, optional:
		if e.key == "gates" {
			return "list of mappings"
		}
		return "mapping"
	case *bool:
		return "true or false"
	case *int:
		return "whole number"
	case *Size:
		return "size (4096, 64KiB, 16MiB)"
	case *Rate:
		return "rate (50/s)"
	case *ByteRate:
		return "rate of bytes (256KiB/s)"
	case *time.Duration:
		return "duration (30s, 5m, 24h)"
	case *[]string:
		return "list"
	case *Peers:
		return "list of address ranges, or unix"
	case *Secret:
		return "reference to a secret (file:/path or env:NAME)"
	case *map[string]string:
		return "mapping of names to values"
	case *[]KeyPair:
		return "list of {cert, key}"
	}
	return "text"
}

// Reference writes the reference of all keys as Markdown, for docs/CONFIG.md.
func Reference(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString(referenceHead)
	b.WriteString("\n## Server\n")
	for _, e := range topEntries {
		e.markdown(&b, e.key)
	}
	b.WriteString("\n## Each gate\n\nThe same keys, except `path`, may stand below `defaults`.\n")
	for _, e := range gateEntries {
		e.markdown(&b, "gates."+e.key)
	}
	_, err := w.Write(b.Bytes())
	return err
}

func (e entry) markdown(b *bytes.Buffer, key string) {
	d := e.document(key)
	fmt.Fprintf(b, "\n### `%s`\n\n%s\n\n- Type: %s\n", strings.TrimPrefix(d.Key, "gates."), d.Text, d.Type)
	if d.Values != "" {
		fmt.Fprintf(b, "- Values: %s\n", d.Values)
	}
	if d.Default != "" {
		fmt.Fprintf(b, "- Default: %s\n", d.Default)
	}
	if d.Env != "" {
		name, note, _ := strings.Cut(d.Env, " ")
		fmt.Fprintf(b, "- Environment: `%s` %s", name, note)
		b.Truncate(len(bytes.TrimRight(b.Bytes(), " ")))
		b.WriteByte('\n')
	}
}

const referenceHead = `# Configuration

<!-- Generated from internal/config; do not edit. -->

One YAML file, or several. Layers, the later wins: defaults, files, environment
variables ` + "`SALLYPORT_SECTION__KEY`" + ` (a double underscore is the dot; lists with
commas), flags. Mappings are merged key by key, lists and values replaced whole;
the gates of several files add up. Unknown and doubled keys, aliases, anchors,
merge keys and tags are errors. Secrets are references, ` + "`file:/path`" + ` or
` + "`env:NAME`" + `; relative paths start at the file that names them.
`
