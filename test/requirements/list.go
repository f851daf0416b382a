package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"
)

// requirement is a line of ids.tsv.
type requirement struct {
	id, title string
	deferred  bool
	reason    string // why, if it is
}

var idForm = regexp.MustCompile(`^(SR|AT)-\d{2,3}$`)

// readList reads ids.tsv: id, title, "required" or "deferred", and the reason of
// a deferred one, with tabs between; lines that begin with # are comments.
func readList(path string) ([]requirement, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return parseList(path, string(data))
}

func parseList(path, text string) ([]requirement, error) {
	var list []requirement
	seen := map[string]bool{}
	for i, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		bad := func(why string) error { return fmt.Errorf("%s:%d: %s", path, i+1, why) }
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) < 3 || len(f) > 4 {
			return nil, bad("a line is: id, title, status, and a reason, with tabs between")
		}
		r := requirement{id: f[0], title: f[1], deferred: f[2] == "deferred"}
		if len(f) == 4 {
			r.reason = strings.TrimSpace(f[3])
		}
		switch {
		case !idForm.MatchString(r.id):
			return nil, bad("an id is SR-11 or AT-05")
		case seen[r.id]:
			return nil, bad(r.id + " is there twice")
		case r.title == "":
			return nil, bad(r.id + " has no title")
		case f[2] != "required" && f[2] != "deferred":
			return nil, bad("a status is required or deferred")
		case !r.deferred && r.reason != "":
			return nil, bad("a required one needs no reason")
		}
		seen[r.id] = true
		list = append(list, r)
	}
	return list, nil
}
