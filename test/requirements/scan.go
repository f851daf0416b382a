package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// place is where a test carries an id.
type place struct {
	file string // relative to the root, with slashes
	test string // function; empty for a table outside of functions, and other languages
}

// gather joins places of one test: "origin/check_test.go TestHandshake (12)".
func gather(places []place) []string {
	count := map[place]int{}
	for _, p := range places {
		count[p]++
	}
	var out []string
	for p, n := range count {
		s := strings.TrimSpace(p.file + " " + p.test)
		if n > 1 {
			s += fmt.Sprintf(" (%d)", n)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func sortedKeys(m map[string][]place) []string { return slices.Sorted(maps.Keys(m)) }

// Ids in a text are not part of a longer word; in the name of a function they
// follow an underscore, a small letter or "Test".
var (
	inText = regexp.MustCompile(`(?:^|[^A-Za-z0-9])(SR|AT)[-_]?(\d{2,3})(?:$|[^0-9A-Za-z])`)
	inName = regexp.MustCompile(`(?:_|[a-z])(SR|AT)_?(\d{2,3})(?:$|[^0-9])`)
)

// find returns the ids in s, each once.
func find(form *regexp.Regexp, s string) []string {
	var ids []string
	for len(s) > 0 {
		m := form.FindStringSubmatchIndex(s)
		if m == nil {
			break
		}
		if id := s[m[2]:m[3]] + "-" + s[m[4]:m[5]]; !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		s = s[m[5]:] // what ended this id may begin the next
	}
	return ids
}

// own is this program, whose tests speak of ids that they do not prove.
const own = "test/requirements"

// scan reads every test below root.
func scan(root string) (map[string][]place, error) {
	places := map[string][]place{}
	add := func(ids []string, file, test string) {
		for _, id := range ids {
			places[id] = append(places[id], place{file, test})
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		name := d.Name()
		if d.IsDir() {
			if rel != "." && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "__pycache__" || rel == own) {
				return fs.SkipDir
			}
			return nil
		}
		read := reader(rel)
		if read == nil || !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return read(rel, string(text), add)
	})
	return places, err
}

type adder func(ids []string, file, test string)

// reader returns what reads a file, nil if it is no test.
func reader(rel string) func(rel, text string, add adder) error {
	base := filepath.Base(rel)
	testish := strings.HasPrefix(rel, "test/") || strings.Contains(rel, "/test/") || strings.Contains(base, "test") || strings.Contains(base, "spec.")
	switch ext := filepath.Ext(base); {
	case strings.HasSuffix(base, "_test.go"):
		return readGo
	case ext == ".txtar":
		return readScript
	case testish && (ext == ".mjs" || ext == ".js" || ext == ".ts" || ext == ".py"):
		return readOther
	}
	return nil
}

// readGo looks at names of test functions and at string literals.
func readGo(rel, text string, add adder) error {
	file, err := parser.ParseFile(token.NewFileSet(), rel, text, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	for _, decl := range file.Decls {
		test := ""
		if f, ok := decl.(*ast.FuncDecl); ok {
			test = f.Name.Name
			for _, prefix := range []string{"Test", "Fuzz", "Example", "Benchmark"} {
				if strings.HasPrefix(test, prefix) && f.Recv == nil {
					add(find(inName, test), rel, test)
				}
			}
		}
		ast.Inspect(decl, func(n ast.Node) bool {
			if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
				add(find(inText, l.Value), rel, test)
			}
			return true
		})
	}
	return nil
}

// readScript looks at the name and the comments of a script, not at its files.
func readScript(rel, text string, add adder) error {
	add(find(inText, filepath.Base(rel)), rel, "")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "-- ") {
			break
		}
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			add(find(inText, comment), rel, "")
		}
	}
	return nil
}

var (
	literal = regexp.MustCompile("\"(?:[^\"\\\\\n]|\\\\.)*\"|'(?:[^'\\\\\n]|\\\\.)*'|`(?:[^`\\\\]|\\\\.)*`")
	pyTest  = regexp.MustCompile(`(?m)^\s*(?:async\s+)?def\s+(test\w*)`)
)

// readOther looks at string literals, and at names of test functions in Python.
// It knows just enough of these languages: a line that is a comment counts for
// nothing.
func readOther(rel, text string, add adder) error {
	var code strings.Builder
	for line := range strings.Lines(text) {
		if t := strings.TrimSpace(line); !strings.HasPrefix(t, "//") && !strings.HasPrefix(t, "*") && !(strings.HasPrefix(t, "#") && strings.HasSuffix(rel, ".py")) {
			code.WriteString(line)
		}
	}
	for _, s := range literal.FindAllString(code.String(), -1) {
		add(find(inText, s), rel, "")
	}
	if strings.HasSuffix(rel, ".py") {
		for _, m := range pyTest.FindAllStringSubmatch(code.String(), -1) {
			add(find(inName, m[1]), rel, m[1])
		}
	}
	return nil
}
