package sallyport_test

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestWords keeps out of the text what is not about the project: promises,
// leftovers, and the machine that somebody wrote it on.
func TestWords(t *testing.T) {
	rules := []struct{ pattern, why string }{
		{`\b(?:TO` + `DO|FIX` + `ME|X` + `XX)\b`, "is a leftover: do it, or write an issue"},
		{`(?i)\b(?:blaz` + `ing(?:ly)?|seam` + `less(?:ly)?|military` + `-grade|unhack` + `able|bullet` + `proof)\b`, "promises without a test"},
		{`(?:^|[\s"'=(:])/(?:ho` + `me|ro` + `ot|Us` + `ers|wo` + `rk)/[a-z]{3}`, "is a path of one machine"},
		{`[A-Z]:\\Us` + `ers\\`, "is a path of one machine"},
	}
	var compiled []*regexp.Regexp
	for _, r := range rules {
		compiled = append(compiled, regexp.MustCompile(r.pattern))
	}
	rulesFiles(t, func(name string, text []byte) {
		if !slices.Contains([]string{".go", ".md", ".json", ".yaml", ".yml", ".sh", ".mjs", ".js", ".ts", ".py", ".html", ".css", ".txtar", ".tsv", ".conf", ""}, path.Ext(name)) {
			return
		}
		for i, line := range strings.Split(string(text), "\n") {
			for j, re := range compiled {
				if m := re.FindString(line); m != "" {
					t.Errorf("%s:%d: %q %s", name, i+1, strings.TrimSpace(m), rules[j].why)
				}
			}
		}
	})
}

// TestLockFiles wants lock files to name packages, and no place to get them from:
// that is for each machine to say.
func TestLockFiles(t *testing.T) {
	place := regexp.MustCompile(`"resolved":\s*"[a-z+]+:`) // a link to a workspace has none
	rulesFiles(t, func(name string, text []byte) {
		if path.Base(name) == "package-lock.json" && place.Match(text) {
			t.Errorf("%s names a registry: npm config set omit-lockfile-registry-resolved true", name)
		}
	})
}

// rulesSentences splits prose into sentences, roughly.
var rulesSentences = regexp.MustCompile(`[^.!?|]+(?:[.!?|]+(?:\s|$)|$)`)

// TestDocs_SR18 reads every sentence of the documents that names what browsers
// do about other sites together with the check of the origin: it must say that
// the one does not replace the other.
func TestDocs_SR18(t *testing.T) {
	browser := regexp.MustCompile(`SameSite|\bCORS\b|[Tt]hird-party[- ]cookie|Local Network Access|Private Network Access|Sec-Fetch-Site`)
	claim := regexp.MustCompile(`(?i)\b(?:replac|instead of|suffic|enough|stops?|prevents?|protects?|guards? against|makes? .* unnecessary)`)
	attack := regexp.MustCompile(`(?i)origin|hijack|cross-site|cswsh`)
	negation := regexp.MustCompile(`(?i)\b(?:not|no|never|neither|nor|cannot|without|only)\b`)
	mentions := 0
	rulesFiles(t, func(name string, text []byte) {
		if path.Ext(name) != ".md" {
			return
		}
		for paragraph := range strings.SplitSeq(string(text), "\n\n") {
			for _, s := range rulesSentences.FindAllString(strings.ReplaceAll(paragraph, "\n", " "), -1) {
				if browser.MatchString(s) && claim.MatchString(s) && attack.MatchString(s) {
					mentions++
					if !negation.MatchString(s) {
						t.Errorf("%s: %q reads as if it replaced the check of the origin", name, strings.TrimSpace(s))
					}
				}
			}
		}
	})
	if mentions == 0 {
		t.Error("no document says that SameSite does not replace the check of the origin")
	}
}

// TestLinks follows the relative links of every document.
func TestLinks(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	rulesFiles(t, func(name string, text []byte) {
		if path.Ext(name) != ".md" {
			return
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			u, err := url.Parse(m[1])
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			if u.Scheme != "" || u.Path == "" {
				continue
			}
			if _, err := os.Stat(path.Join(path.Dir(name), u.Path)); err != nil {
				t.Errorf("%s: the link to %s leads nowhere", name, m[1])
			}
		}
	})
}

// TestDependencies_SR99 wants a line in docs/DEPENDENCIES.md for every module
// that our packages or their tests import, for every tool, and for no other; and
// a checksum for each.
func TestDependencies_SR99(t *testing.T) {
	doc, err := os.ReadFile("docs/DEPENDENCIES.md")
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(string(doc), -1) {
		listed[m[1]] = true
	}
	module, tools := rulesModFile(t, "go.mod"), rulesModFile(t, "tools/go.mod")
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	for _, p := range rulesPackages(t) {
		for _, other := range p.all {
			if m := rulesLongest(module.required, other); m != "" {
				used[m] = true
			}
		}
	}
	for _, tool := range tools.tools {
		used[rulesLongest(tools.required, tool)] = true
	}
	for m := range used {
		if !listed[m] {
			t.Errorf("%s is imported and has no line in docs/DEPENDENCIES.md: why, what instead, what does it cost?", m)
		}
		if version := module.required[m]; version != "" && !strings.Contains(string(sums), fmt.Sprintf("%s %s h1:", m, version)) {
			t.Errorf("%s %s has no checksum in go.sum", m, version)
		}
	}
	for m := range listed {
		if module.required[m] == "" && tools.required[m] == "" {
			t.Errorf("docs/DEPENDENCIES.md names %s, which is in neither go.mod", m)
		}
	}
}

type rulesMod struct {
	required map[string]string // module to version
	tools    []string
}

func rulesModFile(t *testing.T, name string) rulesMod {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	m := rulesMod{required: map[string]string{}}
	block := ""
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "//")
		f := strings.Fields(line)
		switch {
		case len(f) == 0:
		case len(f) == 2 && f[1] == "(":
			block = f[0]
		case f[0] == ")":
			block = ""
		case len(f) == 3 && f[0] == "require":
			m.required[f[1]] = f[2]
		case len(f) == 2 && f[0] == "tool":
			m.tools = append(m.tools, f[1])
		case len(f) == 2 && block == "require":
			m.required[f[0]] = f[1]
		case len(f) == 1 && block == "tool":
			m.tools = append(m.tools, f[0])
		}
	}
	return m
}

// rulesLongest is the module that a package belongs to; empty if it is none of these.
func rulesLongest(modules map[string]string, p string) (best string) {
	for m := range modules {
		if (p == m || strings.HasPrefix(p, m+"/")) && len(m) > len(best) {
			best = m
		}
	}
	return best
}
