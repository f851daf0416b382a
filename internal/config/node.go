package config

import (
	"slices"
	"strings"
)

type kind uint8

const (
	scalar kind = iota
	list
	mapping
	null
)

func (k kind) String() string {
	return [...]string{"a value", "a list", "a mapping", "nothing"}[k]
}

// node is a value with where it was written. All layers are trees of nodes.
type node struct {
	kind   kind
	text   string // of a scalar
	items  []*node
	fields []field
	at     Position // of the value
	key    Position // of the key it belongs to; of the value for members of lists
	broken bool     // has been complained about
}

type field struct {
	name  string
	value *node
}

// get returns the value of a key; nil if it is not there, or n is no mapping.
func (n *node) get(name string) *node {
	if n == nil {
		return nil
	}
	for _, f := range n.fields {
		if f.name == name {
			return f.value
		}
	}
	return nil
}

// lookup returns the value at a dotted key; nil if it is not there.
func (n *node) lookup(dotted string) *node {
	for name := range strings.SplitSeq(dotted, ".") {
		n = n.get(name)
	}
	return n
}

// set puts v at a dotted key and makes the mappings on the way. It reports
// false if something other than a mapping is in the way.
func (n *node) set(dotted string, v *node) bool {
	name, rest, deeper := strings.Cut(dotted, ".")
	if n.kind != mapping {
		return false
	}
	child := n.get(name)
	if deeper {
		if child == nil {
			child = &node{kind: mapping, at: v.at, key: v.key}
			n.fields = append(n.fields, field{name, child})
		}
		return child.set(rest, v)
	}
	if child != nil {
		return false
	}
	n.fields = append(n.fields, field{name, v})
	return true
}

// merge returns base with over laid upon it. Mappings are merged key by key,
// except those whose dotted key whole names; everything else is replaced.
func merge(base, over *node, prefix string, whole func(dotted string) bool) *node {
	if base == nil || over == nil || base.kind != mapping || over.kind != mapping || whole != nil && whole(prefix) {
		if over == nil {
			return base
		}
		return over
	}
	out := &node{kind: mapping, at: over.at, key: over.key, fields: slices.Clone(base.fields)}
	for _, f := range over.fields {
		i := slices.IndexFunc(out.fields, func(old field) bool { return old.name == f.name })
		if i < 0 {
			out.fields = append(out.fields, f)
			continue
		}
		out.fields[i].value = merge(out.fields[i].value, f.value, join(prefix, f.name), whole)
	}
	return out
}

func join(prefix, name string) string {
	if prefix == "" {
		return name
	}
	return prefix + "." + name
}
