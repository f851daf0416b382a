package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// patch is one check that is taken away. Its file begins with four lines, and
// everything behind them is a unified diff:
//
//	# id: SR-11
//	# attack: what somebody could do without the check
//	# test: ./origin ./auth/jwt
//	# run: TestTrusts_SR11|TestConfig_SR11
type patch struct {
	file         string // path
	number, name string // of the file's name: 07 and accept-any-origin
	id           string
	attack       string
	packages     []string
	run          string
}

var fileName = regexp.MustCompile(`^(\d{2,3})-((?:SR|AT)-\d{2,3})-([a-z0-9-]+)\.patch$`)

// readPatches reads all patches of a folder, in the order of their numbers.
func readPatches(dir string) ([]patch, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.patch"))
	if err != nil {
		return nil, err
	}
	var out []patch
	var errs []error
	seen := map[string]bool{}
	for _, file := range files { // Glob sorts
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		p, err := parsePatch(filepath.Base(file), string(data))
		if err == nil && seen[p.number] {
			err = fmt.Errorf("%s: another patch has this number", p.name)
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		seen[p.number] = true
		if p.file, err = filepath.Abs(file); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		errs = append(errs, fmt.Errorf("there are no patches in %s", dir))
	}
	return out, errors.Join(errs...)
}

func parsePatch(name, text string) (patch, error) {
	bad := func(why string) (patch, error) { return patch{}, fmt.Errorf("%s: %s", name, why) }
	m := fileName.FindStringSubmatch(name)
	if m == nil {
		return bad("the name is NN-SR-11-what-it-does.patch")
	}
	p := patch{number: m[1], name: m[3]}
	for _, f := range []struct {
		key   string
		value *string
	}{{"id", &p.id}, {"attack", &p.attack}, {"test", new(string)}, {"run", &p.run}} {
		line, rest, _ := strings.Cut(text, "\n")
		value, ok := strings.CutPrefix(line, "# "+f.key+": ")
		if !ok || strings.TrimSpace(value) == "" {
			return bad("the line \"# " + f.key + ": …\" is missing, or not in its place")
		}
		*f.value, text = value, rest
		if f.key == "test" {
			p.packages = strings.Fields(value)
		}
	}
	switch _, err := regexp.Compile(p.run); {
	case p.id != m[2]:
		return bad("the name and the line id differ")
	case err != nil:
		return bad("run is no regular expression: " + err.Error())
	case !strings.HasPrefix(text, "--- a/"):
		return bad("the diff does not follow the four lines")
	}
	for _, pkg := range p.packages {
		if pkg != "." && !strings.HasPrefix(pkg, "./") {
			return bad("packages are written ./origin")
		}
	}
	return p, nil
}

// carries reports whether the name of a test, or of one of its subtests, has the
// id: SR-11 or SR_11 or SR11, and not as a part of SR-111.
func carries(test, id string) bool {
	kind, number, _ := strings.Cut(id, "-")
	found, _ := regexp.MatchString(`(?:^|[^A-Z])`+kind+`[-_]?`+number+`(?:[^0-9]|$)`, test)
	return found
}
