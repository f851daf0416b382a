package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxFile bounds one configuration file, in bytes; maxFiles the number of them.
const (
	maxFile  = 1 << 20
	maxFiles = 256
)

// Source is where [Load] reads. The zero Source is the defaults alone, which
// admit nobody and are refused.
type Source struct {
	// Files are read in order; the later wins. "-" is Stdin; a directory stands
	// for its *.yaml and *.yml files in the order of their names.
	Files []string

	// Env is the environment, as os.Environ gives it. It is also what env:NAME
	// refers to.
	Env []string

	// Flags are settings of the command line by dotted key ("limits.connections").
	// Lists are written with commas.
	Flags map[string]string

	Stdin io.Reader // for the file "-"
}

// Load reads all layers and returns the effective configuration and where each
// of its values comes from. The error is an [*Error] with every mistake.
func Load(s Source) (*File, Origins, error) { return newLoader(s).load(nil) }

// loader is one run of Load.
type loader struct {
	src      Source
	text     text
	env      map[string]string
	problems []Problem

	nodes   map[string]*node // effective values, by dotted key with indexes
	broken  map[string]bool  // keys that have been complained about
	unknown []*node          // environment variables that name no key; text is the name
	used    map[string]bool  // environment variables that are referred to
	files   int              // read
	line    bool             // the gate is given by flags
	partial bool             // a file could not be read or is no YAML
	out     *File
}

func newLoader(s Source) *loader {
	l := &loader{
		src: s, out: new(File), env: map[string]string{},
		text:  text{lines: map[string][]string{}, hidden: map[string]map[int]int{}},
		nodes: map[string]*node{}, broken: map[string]bool{}, used: map[string]bool{},
	}
	for _, pair := range s.Env {
		if name, value, ok := strings.Cut(pair, "="); ok {
			if _, doubled := l.env[name]; doubled && strings.HasPrefix(name, envPrefix) {
				l.report(Position{Source: "env " + name}, "", "the environment has %s twice", name)
			}
			l.env[name] = value
		}
	}
	return l
}

// load merges the layers, with the one-line gate given by line, if any, on top.
func (l *loader) load(line func() *node) (*File, Origins, error) {
	tree := l.readFiles()
	l.files = len(l.text.lines)
	tree = merge(tree, l.envLayer(), "", nil)
	tree = merge(tree, l.flagLayer(), "", nil)
	if line != nil {
		tree = merge(tree, line(), "", nil)
	}
	l.decode(tree)
	l.fill()
	if !l.partial {
		l.validate() // of half a configuration, half the complaints would be wrong
	}
	l.leftover()
	if len(l.problems) > 0 {
		return nil, nil, l.failure()
	}
	origins := Origins{}
	for key, n := range l.nodes {
		origins[key] = n.at
	}
	return l.out, origins, nil
}

// decode fills the File from the merged tree.
func (l *loader) decode(tree *node) {
	decode(l, top, l.out, tree, "")
	defaults := tree.get("defaults")
	if defaults == nil || defaults.kind != mapping {
		defaults = &node{kind: mapping}
	}
	l.nodes["defaults"] = defaults
	decode(l, perGate, &l.out.Defaults, defaults, "defaults")
	gates := tree.get("gates")
	if gates == nil {
		return
	}
	l.nodes["gates"] = gates
	if gates.broken {
		l.broken["gates"] = true
	}
	whole := func(key string) bool { return key != "" && key != "guard" && key != "backend" }
	for i, item := range gates.items {
		key := fmt.Sprintf("gates[%d]", i)
		l.nodes[key] = item
		if item.kind != mapping {
			l.broken[key] = true
			item = &node{kind: mapping, at: item.at, key: item.at}
		}
		var g Gate
		decode(l, perGate, &g, merge(defaults, item, "", whole), key)
		l.out.Gates = append(l.out.Gates, g)
	}
}

// readFiles reads and merges the files.
func (l *loader) readFiles() *node {
	tree := &node{kind: mapping}
	whole := func(key string) bool { return key == "defaults.auth" }
	for layer, name := range l.expand() {
		data, err := l.readFile(name)
		if name == "-" {
			name = "stdin"
		}
		if err != nil {
			l.partial = true
			l.report(Position{Source: name, layer: layer}, "", "%v", err)
			continue
		}
		l.text.lines[name] = strings.Split(strings.TrimPrefix(string(data), "\ufeff"), "\n")
		p := parser{source: name, layer: layer, hide: l.text.hide, report: func(at Position, format string, args ...any) {
			l.hideSyntax(at)
			l.report(at, "", format, args...)
		}}
		n := p.parse(data)
		l.partial = l.partial || p.failed
		if n == nil || n.kind == null {
			continue
		}
		if n.kind != mapping {
			l.partial = true
			l.report(n.at, "", "a configuration is a mapping of keys, not %s", n.kind)
			continue
		}
		n = l.normalise(n)
		l.check(n, topEntries, "", "")
		if gates, more := tree.get("gates"), n.get("gates"); gates != nil && more != nil {
			more.items = append(slices.Clone(gates.items), more.items...)
			more.broken = more.broken || gates.broken
		}
		tree = merge(tree, n, "", whole)
	}
	return tree
}

// expand replaces directories by the files in them.
func (l *loader) expand() []string {
	var names []string
	for _, name := range l.src.Files {
		info, err := os.Stat(name)
		if name == "-" || err != nil || !info.IsDir() {
			names = append(names, name)
			continue
		}
		found := 0
		list, err := os.ReadDir(name)
		if err != nil {
			l.report(Position{Source: name}, "", "%v", err)
		}
		for _, e := range list {
			if ext := filepath.Ext(e.Name()); (ext == ".yaml" || ext == ".yml") && e.Name()[0] != '.' {
				names = append(names, filepath.Join(name, e.Name()))
				found++
			}
		}
		if found == 0 && err == nil {
			l.report(Position{Source: name}, "", "the directory has no *.yaml file")
		}
	}
	seen := map[string]bool{}
	for _, name := range names {
		if seen[name] {
			l.report(Position{Source: name}, "", "named twice")
		}
		seen[name] = true
	}
	if len(names) > maxFiles {
		l.report(Position{}, "", "%d configuration files; at most %d are read", len(names), maxFiles)
		names = names[:maxFiles]
	}
	return names
}

func (l *loader) readFile(name string) ([]byte, error) {
	r := l.src.Stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			var pe *os.PathError
			if errors.As(err, &pe) {
				return nil, fmt.Errorf("cannot be read: %w", pe.Err)
			}
			return nil, err
		}
		defer f.Close()
		r = f
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() && worldWritable(info) {
			return nil, fmt.Errorf("may be changed by everybody (mode %04o): chmod o-w %s", info.Mode().Perm(), name)
		}
	}
	if r == nil {
		return nil, errors.New("there is no standard input")
	}
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("larger than %s", Size(maxFile))
	}
	return data, nil
}

// report adds a problem. key is the dotted key that it is about, if any.
func (l *loader) report(at Position, key, format string, args ...any) {
	p := Problem{At: at, Message: fmt.Sprintf(format, args...)}
	for p.Key = plainKey(key); p.Key != ""; p.Key = parent(p.Key) {
		if _, ok := find(p.Key); ok {
			break
		}
	}
	same := func(old Problem) bool { return old.At == p.At && old.Message == p.Message }
	if !slices.ContainsFunc(l.problems, same) {
		l.problems = append(l.problems, p)
	}
}

// failure sorts the problems by where they are and adds excerpts.
func (l *loader) failure() *Error {
	slices.SortStableFunc(l.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(b2i(a.At.Source == ""), b2i(b.At.Source == "")), cmp.Compare(a.At.layer, b.At.layer),
			cmp.Compare(a.At.Line, b.At.Line), cmp.Compare(a.At.Column, b.At.Column))
	})
	for i, p := range l.problems {
		l.problems[i].Excerpt = l.text.excerpt(p.At)
	}
	return &Error{Problems: l.problems}
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// plainKey removes indexes: gates[2].guard.idle is gates.guard.idle.
func plainKey(key string) string {
	for {
		i := strings.IndexByte(key, '[')
		if i < 0 {
			return key
		}
		j := strings.IndexByte(key[i:], ']')
		if j < 0 {
			return key[:i]
		}
		key = key[:i] + key[i+j+1:]
	}
}
