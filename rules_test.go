package sallyport_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	settings "github.com/sallyport/sallyport/internal/config"
)

// The house rules, as tests. They read the sources; nothing of the door runs.

const rulesModule = "github.com/sallyport/sallyport"

// rulesPackage is what `go list` says of a package, with paths relative to the
// module; the root is ".".
type rulesPackage struct {
	path    string
	imports []string // without those of tests
	all     []string // with them
}

func rulesPackages(t *testing.T) []rulesPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-e", "-json=ImportPath,Imports,TestImports,XTestImports", "./...")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	short := func(list []string) (own []string) {
		for _, p := range list {
			if rest, ok := strings.CutPrefix(p, rulesModule); ok && (rest == "" || rest[0] == '/') {
				p = path.Clean("./" + rest)
			}
			own = append(own, p)
		}
		return own
	}
	var packages []rulesPackage
	dec := json.NewDecoder(bytes.NewReader(out))
	for {
		var p struct {
			ImportPath                         string
			Imports, TestImports, XTestImports []string
		}
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, rulesPackage{
			path: short([]string{p.ImportPath})[0], imports: short(p.Imports),
			all: short(slices.Concat(p.Imports, p.TestImports, p.XTestImports)),
		})
	}
	if len(packages) < 10 {
		t.Fatalf("go list found %d packages", len(packages))
	}
	return packages
}

// rulesThirdParty reports whether a path is neither ours nor the standard library's.
func rulesThirdParty(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return strings.Contains(first, ".") && p != "." && !rulesOurs(p)
}

var rulesTop []string // the first elements of our own packages

func rulesOurs(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return slices.Contains(rulesTop, first)
}

// rulesLayer is a row of the tree: what packages may import of ours, and of others.
type rulesLayer struct {
	packages string // patterns, separated by spaces; "x/..." is x and all below
	may      string // patterns; "*" is everything but cmd, "-x" is not x
	others   string // modules that are not ours; "*" is any
}

var rulesLayers = []rulesLayer{
	{"deny internal/ws internal/cookie internal/engine internal/strictjson internal/edwards internal/ecsig", "", ""},
	{"internal/engine/poll", "internal/engine", ""},
	{"deny/gen", "", ""},
	{"internal/ws/conform", "internal/ws", ""},
	{"internal/link", "internal/engine internal/ws", ""},

	{"auth", "deny", ""},
	{"auth/...", "auth deny internal/cookie internal/strictjson internal/edwards internal/ecsig", "github.com/go-jose/go-jose/v4"},
	{"origin", "deny", "golang.org/x/net"},
	{"wss", "deny internal/ws internal/cookie", "golang.org/x/sys"},
	{"headers guard", "deny internal/ws internal/cookie", ""},
	{"seal", "deny internal/ws internal/edwards internal/ecsig", ""},

	{".", "deny auth/... origin headers guard seal wss internal/ws internal/cookie internal/engine internal/engine/poll internal/link internal/strictjson", ""},
	{"sallyporttest", "deny internal/ws", ""},
	{"client/...", "deny seal internal/ws internal/link internal/engine internal/strictjson", ""},
	{"route/...", ". deny auth/... origin headers guard seal internal/ws internal/cookie internal/link", ""},

	{"internal/state", "auth/session guard", "go.etcd.io/bbolt"},
	{"internal/sealkeys", "seal internal/strictjson", ""},
	{"internal/config", "deny origin", "go.yaml.in/yaml/v4"},
	{"internal/load", "deny internal/ws", "github.com/HdrHistogram/hdrhistogram-go golang.org/x/sys"},
	{"internal/admin", ". deny auth/... guard origin", ""},
	{"internal/demo internal/demo/...", "* -internal/app/cli", ""},
	{"internal/app/cli", "*", "github.com/spf13/cobra github.com/spf13/pflag"},
	{"internal/app/...", "* -internal/app/cli -internal/demo", "github.com/prometheus/client_golang"},
	{"cmd/...", "internal/app/cli internal/demo", ""},
	{"test/... examples/...", "*", "*"},
}

func rulesMatch(patterns, p string) bool {
	if slices.Contains(strings.Fields(patterns), "-"+p) {
		return false
	}
	for _, pattern := range strings.Fields(patterns) {
		below, tree := strings.CutSuffix(pattern, "/...")
		if p == pattern || pattern == "*" && !strings.HasPrefix(p, "cmd/") || tree && (p == below || strings.HasPrefix(p, below+"/")) {
			return true
		}
	}
	return false
}

func TestImportDirection(t *testing.T) {
	packages := rulesPackages(t)
	for _, p := range packages {
		first, _, _ := strings.Cut(p.path, "/")
		rulesTop = append(rulesTop, first)
	}
	for _, p := range packages {
		i := slices.IndexFunc(rulesLayers, func(l rulesLayer) bool { return rulesMatch(l.packages, p.path) })
		if i < 0 {
			t.Errorf("%q stands nowhere in the tree: give it a layer in rules_test.go and a line in docs/ARCHITECTURE.md", p.path)
			continue
		}
		layer := rulesLayers[i]
		for _, other := range p.imports {
			switch {
			case rulesOurs(other) && !rulesMatch(layer.may, other):
				t.Errorf("%q must not import %q", p.path, other)
			case rulesThirdParty(other) && layer.others != "*" && !slices.ContainsFunc(strings.Fields(layer.others), func(m string) bool { return other == m || strings.HasPrefix(other, m+"/") }):
				t.Errorf("%q must not depend on %q", p.path, other)
			}
		}
	}
}

// TestForbiddenImports holds what no package of ours may use, and why.
func TestForbiddenImports(t *testing.T) {
	for _, rule := range []struct {
		why     string
		imports string // prefixes
		except  string // patterns of packages
	}{
		{"SR-59 AT-45 AT-47 nothing compresses or inflates, so that no bomb swells and no length leaks", "compress/", ""},
		{"AT-97 no debug endpoint registers itself on a mux that somebody may serve", "net/http/pprof expvar", ""},
		{"SR-57 what must not be guessed does not come from a generator that can be", "math/rand", "internal/app internal/demo internal/ws/conform test/..."},
		{"no cryptography of our own and none that is broken", "crypto/md5 crypto/rc4 crypto/des crypto/dsa", ""},
		{"one way to write logs, which escapes what others chose", "log/syslog", ""},
	} {
		t.Run(rule.why, func(t *testing.T) {
			for _, p := range rulesPackages(t) {
				for _, other := range p.imports {
					forbidden := slices.ContainsFunc(strings.Fields(rule.imports), func(prefix string) bool { return strings.HasPrefix(other, prefix) })
					if forbidden && !rulesMatch(rule.except, p.path) {
						t.Errorf("%q imports %q", p.path, other)
					}
				}
			}
		})
	}
}

// rulesFiles calls f with every file of the repository that people wrote, by its
// path with slashes.
func rulesFiles(t *testing.T, f func(name string, text []byte)) {
	t.Helper()
	skip := []string{"node_modules", "bin", "out", "__pycache__"}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) { // a test beside this one cleans up
				return nil
			}
			return err
		}
		if d.IsDir() {
			hidden := strings.HasPrefix(d.Name(), ".") && !slices.Contains([]string{".", ".ci", ".github"}, d.Name())
			if hidden || slices.Contains(skip, d.Name()) {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() {
			return nil
		}
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil {
			f(filepath.ToSlash(name), text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func rulesParse(t *testing.T, name string, text []byte) (*token.FileSet, *ast.File) {
	t.Helper()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return files, file
}

func TestSourcesAreFormatted(t *testing.T) {
	rulesFiles(t, func(name string, text []byte) {
		if !strings.HasSuffix(name, ".go") {
			return
		}
		formatted, err := format.Source(text)
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(formatted, text) {
			t.Errorf("%s: run gofmt", name)
		}
	})
}

// TestDocComments wants a package doc in every package and a comment on
// everything that a user of the library can name.
func TestDocComments(t *testing.T) {
	documented := map[string]bool{}
	rulesFiles(t, func(name string, text []byte) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.Contains(name, "testdata/") {
			return
		}
		files, file := rulesParse(t, name, text)
		dir := path.Dir(name)
		form := "Package " + file.Name.Name + " "
		if file.Name.Name == "main" {
			form = "Command "
		}
		documented[dir] = documented[dir] || file.Doc != nil && strings.HasPrefix(file.Doc.Text(), form)
		if file.Name.Name == "main" || strings.HasPrefix(dir, "internal/") || dir == "internal" || ast.IsGenerated(file) {
			return
		}
		for _, d := range file.Decls {
			for _, missing := range rulesUndocumented(d) {
				t.Errorf("%s: %s has no comment", files.Position(d.Pos()), missing)
			}
		}
	})
	for dir, ok := range documented {
		if !ok {
			t.Errorf("%s has no package doc: the attack, the standard, the default, the limit", dir)
		}
	}
}

// rulesUndocumented returns the exported names of d that have no comment.
func rulesUndocumented(d ast.Decl) (names []string) {
	switch d := d.(type) {
	case *ast.FuncDecl:
		obvious := d.Recv != nil && slices.Contains([]string{"String", "Error", "Unwrap"}, d.Name.Name)
		if d.Doc == nil && !obvious && d.Name.IsExported() && rulesExportedReceiver(d) {
			names = append(names, d.Name.Name)
		}
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.TypeSpec:
				if d.Doc == nil && s.Doc == nil && s.Name.IsExported() {
					names = append(names, s.Name.Name)
				}
			case *ast.ValueSpec:
				if d.Doc == nil && s.Doc == nil && s.Comment == nil && s.Names[0].IsExported() {
					names = append(names, s.Names[0].Name)
				}
			}
		}
	}
	return names
}

func rulesExportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	x := f.Recv.List[0].Type
	if star, ok := x.(*ast.StarExpr); ok {
		x = star.X
	}
	if index, ok := x.(*ast.IndexExpr); ok {
		x = index.X
	}
	name, ok := x.(*ast.Ident)
	return ok && name.IsExported()
}

// TestGoroutines counts what starts a goroutine in each file against the table
// "Goroutines" of docs/ARCHITECTURE.md: a row for each go statement, each
// WaitGroup.Go and each AfterFunc.
func TestGoroutines(t *testing.T) {
	text, err := os.ReadFile("docs/ARCHITECTURE.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(text), "\n## Goroutines\n")
	section, _, _ = strings.Cut(section, "\n## ")
	listed := map[string]int{}
	row := regexp.MustCompile("(?m)^\\| `([^`]+\\.go)` \\|")
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		listed[m[1]]++
	}
	found := map[string]int{}
	rulesFiles(t, func(name string, text []byte) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || strings.HasPrefix(name, "test/") || strings.HasPrefix(name, "examples/") || strings.HasPrefix(name, "bench/") {
			return
		}
		files, file := rulesParse(t, name, text)
		ast.Inspect(file, func(n ast.Node) bool {
			if rulesStarts(n) {
				if found[name]++; found[name] > listed[name] {
					t.Errorf("%s: a goroutine that docs/ARCHITECTURE.md does not list: who starts it, what ends it, who waits for it?", files.Position(n.Pos()))
				}
			}
			return true
		})
	})
	for name, n := range listed {
		if found[name] < n {
			t.Errorf("docs/ARCHITECTURE.md lists %d goroutines of %s, which starts %d", n, name, found[name])
		}
	}
}

// rulesStarts reports whether n is a go statement or a call that is one in
// disguise: x.Go(f), time.AfterFunc, context.AfterFunc.
func rulesStarts(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.GoStmt:
		return true
	case *ast.CallExpr:
		s, ok := n.Fun.(*ast.SelectorExpr)
		return ok && (s.Sel.Name == "Go" && len(n.Args) == 1 || s.Sel.Name == "AfterFunc" && len(n.Args) == 2)
	}
	return false
}

// TestGenerated runs the generators in a copy and compares.
func TestGenerated(t *testing.T) {
	var reference bytes.Buffer
	if err := settings.Reference(&reference); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile("docs/CONFIG.md"); err != nil || !bytes.Equal(got, reference.Bytes()) {
		t.Error("docs/CONFIG.md is not what internal/config says: run go run ./cmd/sallyport config reference > docs/CONFIG.md", err)
	}
	if testing.Short() {
		t.Skip("builds a program")
	}
	root := t.TempDir()
	tool := filepath.Join(root, "gen.exe")
	if out, err := exec.Command("go", "build", "-o", tool, "./deny/gen").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, dir := range []string{"deny", "docs", "spec", "js/client/src"} {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	rulesCopy(t, "spec/reasons.json", filepath.Join(root, "spec/reasons.json"))
	cmd := exec.Command(tool)
	cmd.Dir = filepath.Join(root, "deny")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, name := range []string{"deny/reasons.go", "docs/REASONS.md", "js/client/src/reasons.ts"} {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what spec/reasons.json says: run go generate ./deny", name)
		}
	}
}

func rulesCopy(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o644)
	}
	if err != nil {
		t.Fatal(fmt.Errorf("copy: %w", err))
	}
}
