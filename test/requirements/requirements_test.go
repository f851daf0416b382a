package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParseList(t *testing.T) {
	for _, tt := range []struct{ why, text, want string }{
		{"a good list", "# comment\nSR-11\tOrigins\trequired\nAT-102\tReplay\tdeferred\tlater\n", ""},
		{"an id of another form", "SR-1\tOrigins\trequired\n", "an id is"},
		{"an id twice", "SR-11\tA\trequired\nSR-11\tB\trequired\n", "twice"},
		{"no title", "SR-11\t\trequired\n", "no title"},
		{"another status", "SR-11\tOrigins\tdone\n", "a status is"},
		{"too few columns", "SR-11\tOrigins\n", "with tabs between"},
		{"a reason that excuses nothing", "SR-11\tOrigins\trequired\tsoon\n", "needs no reason"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			_, err := parseList("ids.tsv", tt.text)
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestFind(t *testing.T) {
	for _, tt := range []struct {
		why  string
		name bool
		in   string
		want []string
	}{
		{"the usual form", false, `"SR-11 AT-05 a rebound name"`, []string{"SR-11", "AT-05"}},
		{"two with one separator", false, `SR-11,SR-12`, []string{"SR-11", "SR-12"}},
		{"with an underscore, and without a sign", false, `SR_11 SR12`, []string{"SR-11", "SR-12"}},
		{"three digits", false, `AT-102: x`, []string{"AT-102"}},
		{"part of a word", false, `FORMAT-12 SR-111111 SR-11a USR-11`, nil},
		{"one digit", false, `AT-5`, nil},
		{"the same twice", false, `SR-11 SR-11`, []string{"SR-11"}},
		{"a function", true, "TestHandshake_SR11_AT01", []string{"SR-11", "AT-01"}},
		{"a function without underscores", true, "TestSR11", []string{"SR-11"}},
		{"a function in capitals", true, "TestFORMAT12", nil},
	} {
		t.Run(tt.why, func(t *testing.T) {
			form := inText
			if tt.name {
				form = inName
			}
			if got := find(form, tt.in); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestScan(t *testing.T) {
	root := t.TempDir()
	for name, text := range map[string]string{
		"a/a_test.go":            "package a\n// SR-99 in a comment\nvar rows = []string{\"SR-11 a row\"}\nfunc TestX_SR12(t *testing.T) { t.Run(\"AT-01 x\", nil) }\n",
		"a/a.go":                 "package a\nconst s = \"SR-20\"\n",
		"cmd/testdata/x.txtar":   "# AT-98 a key that others can read\nexec sallyport\n-- file --\n# SR-21\n",
		"test/e2e/page.mjs":      "// SR-30\ntest('AT-03 another port', () => {})\n",
		"test/e2e/peer.py":       "# SR-31\nasync def test_ping_SR61():\n    pass\n",
		"js/client/src/other.ts": "export const s = 'SR-32'\n",
		"node_modules/x.test.js": "test('SR-33')\n",
		own + "/x_test.go":       "package main\nconst s = \"SR-34\"\n",
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	places, err := scan(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"AT-01", "AT-03", "AT-98", "SR-11", "SR-12", "SR-61"}
	if got := sortedKeys(places); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, want := gather(places["AT-01"]), []string{"a/a_test.go TestX_SR12"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestReport(t *testing.T) {
	at := map[string][]place{"SR-11": {{"a_test.go", "TestA"}, {"a_test.go", "TestA"}}}
	with := func(id string) map[string][]place {
		return map[string][]place{"SR-11": at["SR-11"], id: {{"b_test.go", "TestB"}}}
	}
	one, two := requirement{id: "SR-11", title: "Origins"}, requirement{id: "SR-12", title: "Hosts"}
	later := requirement{id: "SR-13", title: "Later", deferred: true, reason: "later"}
	for _, tt := range []struct {
		why    string
		list   []requirement
		places map[string][]place
		good   bool
		want   string
	}{
		{"all is well", []requirement{one, later}, at, true, "1 of 1 required ids have tests; 1 are deferred"},
		{"tests are counted", []requirement{one}, at, true, "a_test.go TestA (2)"},
		{"a required one has no test", []requirement{one, two}, at, false, "SR-12 Hosts"},
		{"a deferred one has no reason", []requirement{one, {id: "SR-13", title: "Later", deferred: true}}, at, false, "Deferred without a reason"},
		{"a test carries an unknown id", []requirement{one}, with("SR-77"), false, "SR-77 in b_test.go TestB"},
		{"a deferred one may have tests", []requirement{one, later}, with("SR-13"), true, "b_test.go TestB"},
	} {
		t.Run(tt.why, func(t *testing.T) {
			var out bytes.Buffer
			if good := report(&out, tt.list, tt.places, false); good != tt.good || !strings.Contains(out.String(), tt.want) {
				t.Errorf("got %v and\n%s\nwant %v and %q", good, out.String(), tt.good, tt.want)
			}
		})
	}
}
