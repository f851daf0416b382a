package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Ids are put together, so that test/requirements does not take these tests for
// those of a requirement.
const sr = "SR" + "-"

func TestParsePatch(t *testing.T) {
	const diff = "--- a/x.go\n+++ b/x.go\n@@ -1 +1 @@\n-a\n+b\n"
	good := "# id: " + sr + "11\n# attack: any page gets in\n# test: ./origin .\n# run: TestTrusts\n" + diff
	for _, tt := range []struct{ why, name, text, want string }{
		{"a good one", "07-" + sr + "11-any-origin.patch", good, ""},
		{"no number", sr + "11-any-origin.patch", good, "the name is"},
		{"another id in the name", "07-" + sr + "12-any-origin.patch", good, "differ"},
		{"a line is missing", "07-" + sr + "11-any-origin.patch", strings.Replace(good, "# test: ./origin .\n", "", 1), `"# test: …"`},
		{"a line is empty", "07-" + sr + "11-any-origin.patch", strings.Replace(good, "any page gets in", "", 1), `"# attack: …"`},
		{"no regular expression", "07-" + sr + "11-any-origin.patch", strings.Replace(good, "TestTrusts", "Test(", 1), "no regular expression"},
		{"no diff", "07-" + sr + "11-any-origin.patch", strings.TrimSuffix(good, diff), "the diff does not follow"},
		{"a package of another module", "07-" + sr + "11-any-origin.patch", strings.Replace(good, "./origin", "net/http", 1), "are written"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			p, err := parsePatch(tt.name, tt.text)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil || p.number != "07" || p.id != sr+"11" || p.name != "any-origin" || p.run != "TestTrusts" || !slices.Equal(p.packages, []string{"./origin", "."}) {
				t.Errorf("got %+v, %v", p, err)
			}
		})
	}
}

func TestCarries(t *testing.T) {
	for name, want := range map[string]bool{
		"TestTrusts_#11":           true,
		"TestTrusts_#11_#01":       true,
		"TestX/#-11_another_page":  true,
		"TestX/#-01_#-11":          true,
		"TestX_#_11":               true,
		"TestTrusts_#111":          false,
		"TestTrusts_#12":           false,
		"TestX/U#-11":              false,
		"TestX/another_page_of_11": false,
	} {
		if got := carries(strings.ReplaceAll(name, "#", "SR"), sr+"11"); got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestRead(t *testing.T) {
	for _, tt := range []struct {
		why, events string
		failed      string
		built       bool
		ran         int
	}{
		{"a pass", "run A|pass A", "", true, 1},
		{"a subtest fails before its parent", "run A|run A/b|fail A/b|fail A|run C|pass C|fail ", "A/b A", true, 3},
		{"what did not end has failed, the innermost first", "run A|run A/b|fail ", "A/b" + unended + " A" + unended, true, 2},
		{"a build fails", "build-fail |fail ", "", false, 0},
		{"a skip ends too", "run A|skip A|pass ", "", true, 1},
	} {
		t.Run(tt.why, func(t *testing.T) {
			var in strings.Builder
			for e := range strings.SplitSeq(tt.events, "|") {
				action, test, _ := strings.Cut(e, " ")
				in.WriteString(`{"Action":"` + action + `","Test":"` + test + "\"}\n")
			}
			o, built, ran := read(strings.NewReader(in.String()))
			if got := strings.Join(o.failed, " "); got != tt.failed || built != tt.built || ran != tt.ran {
				t.Errorf("got %q, built %v, ran %d; want %q, %v, %d", got, built, ran, tt.failed, tt.built, tt.ran)
			}
		})
	}
}

// A patch that no longer applies is a check that is no longer tried. Whoever
// changes a check renews its patch.
func TestPatchesApply(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	patches, err := readPatches(".")
	if err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range patches {
		if out, err := tree(root).apply(t.Context(), p, "--check"); err != nil {
			t.Errorf("%s: %v\n%s", filepath.Base(p.file), err, out)
		}
		for _, pkg := range p.packages {
			if _, err := os.Stat(filepath.Join(root, pkg)); err != nil {
				t.Errorf("%s: %v", filepath.Base(p.file), err)
			}
		}
	}
}
