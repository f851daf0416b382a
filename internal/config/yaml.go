package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
	"go.yaml.in/yaml/v4/plugin/loaderlimits"
)

// maxDepth bounds how deep mappings and lists may lie in one another.
const maxDepth = 16

// maxScalar bounds one value, in bytes.
const maxScalar = 4096

// parser turns one file into nodes. It is the only user of the YAML module.
type parser struct {
	source string
	layer  int
	report func(at Position, format string, args ...any)
	hide   func(at Position) // keeps what begins there out of excerpts
	failed bool              // the file is no YAML
}

// parse returns the tree of one document; nil if it is empty or broken.
func (p *parser) parse(data []byte) *node {
	if !utf8.Valid(data) {
		p.failed = true
		p.report(p.at(0, 0, 0), "not valid UTF-8")
		return nil
	}
	loader, err := yaml.NewLoader(bytes.NewReader(data),
		yaml.WithUniqueKeys(false), // found below, with both positions
		yaml.WithPlugin(loaderlimits.New(loaderlimits.DepthValue(maxDepth+2))))
	if err != nil {
		p.failed = true
		p.report(p.at(0, 0, 0), "cannot read YAML: %v", err)
		return nil
	}
	var doc, second yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		return nil
	case err != nil:
		p.syntax(err)
		return nil
	case len(doc.Content) == 0:
		return nil
	}
	root := p.convert(doc.Content[0], 0)
	if err := loader.Load(&second); err == nil {
		p.report(p.at(second.Line, 1, 3), "a second document begins here; a file holds one")
	} else if !errors.Is(err, io.EOF) {
		p.syntax(err)
	}
	return root
}

// syntax reports an error of the YAML module.
func (p *parser) syntax(err error) {
	p.failed = true
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		p.report(p.at(0, 0, 0), "not YAML: %v", err)
		return
	}
	msg := "not YAML: " + e.Message
	if e.ContextMsg != "" {
		msg += " " + e.ContextMsg
		if e.ContextMark.Line > 0 && e.ContextMark.Line != e.Mark.Line {
			msg += fmt.Sprintf(" that begins at line %d", e.ContextMark.Line)
		}
	}
	p.report(p.at(e.Mark.Line, e.Mark.Column, 1), "%s", msg)
}

func (p *parser) at(line, column, width int) Position {
	return Position{Source: p.source, Line: line, Column: column, width: width, layer: p.layer}
}

// convert refuses what YAML has beyond mappings, lists and values.
func (p *parser) convert(y *yaml.Node, depth int) *node {
	n := &node{kind: null, at: p.at(y.Line, y.Column, 1)}
	n.key = n.at
	switch {
	case y.Kind == yaml.AliasNode:
		p.refuse(n, y, "aliases (*name) are not accepted: write the value, or use \"defaults\" for what gates share")
		return n
	case y.Anchor != "":
		p.refuse(n, y, "anchors (&name) are not accepted: write the value, or use \"defaults\" for what gates share")
		return n
	case y.Style&yaml.TaggedStyle != 0:
		p.refuse(n, y, "tags (!name) are not accepted")
		return n
	case depth > maxDepth:
		p.refuse(n, y, "deeper than %d levels", maxDepth)
		return n
	}
	switch y.Kind {
	case yaml.ScalarNode:
		p.scalar(n, y)
	case yaml.SequenceNode:
		n.kind = list
		for _, c := range y.Content {
			n.items = append(n.items, p.convert(c, depth+1))
		}
	case yaml.MappingNode:
		n.kind = mapping
		for i := 0; i+1 < len(y.Content); i += 2 {
			p.field(n, y.Content[i], y.Content[i+1], depth)
		}
	}
	return n
}

// refuse marks n as complained about and hides what it holds, since nobody
// will look whether there is a secret in it.
func (p *parser) refuse(n *node, y *yaml.Node, format string, args ...any) {
	n.broken = true
	p.conceal(y)
	p.report(n.at, format, args...)
}

// conceal hides the values below y.
func (p *parser) conceal(y *yaml.Node) {
	switch y.Kind {
	case yaml.ScalarNode:
		p.hide(p.at(y.Line, y.Column, 1))
	case yaml.MappingNode:
		for i := 1; i < len(y.Content); i += 2 {
			p.conceal(y.Content[i])
		}
	case yaml.SequenceNode:
		for _, c := range y.Content {
			p.conceal(c)
		}
	}
}

func (p *parser) scalar(n *node, y *yaml.Node) {
	quoted := y.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if !quoted && y.ShortTag() == "!!null" {
		return
	}
	n.kind, n.text = scalar, y.Value
	n.at.width = utf8.RuneCountInString(y.Value)
	if quoted {
		n.at.width += 2
	}
	if y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
		n.at.width = 1
		n.text = strings.TrimSuffix(n.text, "\n")
	}
	if len(y.Value) > maxScalar {
		n.text, n.at.width, n.broken = "", 1, true
		p.conceal(y)
		p.report(n.at, "longer than %d bytes", maxScalar)
	}
}

func (p *parser) field(n *node, key, value *yaml.Node, depth int) {
	at := p.at(key.Line, key.Column, utf8.RuneCountInString(key.Value))
	switch {
	case key.Kind != yaml.ScalarNode || key.Anchor != "" || key.Style&yaml.TaggedStyle != 0:
		p.conceal(value)
		p.report(p.at(key.Line, key.Column, 1), "a key must be a plain name")
		return
	case key.Value == "<<":
		p.conceal(value)
		p.report(at, "merge keys (<<) are not accepted: use \"defaults\" for what gates share")
		return
	case len(key.Value) > 128:
		p.conceal(value)
		p.report(p.at(key.Line, key.Column, 1), "a key of more than 128 bytes")
		return
	}
	if old := n.get(key.Value); old != nil {
		p.conceal(value)
		p.report(at, "doubled key %q, first on line %d", key.Value, old.key.Line)
		return
	}
	v := p.convert(value, depth+1)
	v.key = at
	n.fields = append(n.fields, field{key.Value, v})
}
