package seal

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestModelsMatchTheirResults: the prover is not run here, so a model that was
// changed must not keep the results of the old one.
func TestModelsMatchTheirResults(t *testing.T) {
	dir := filepath.Join("..", "spec", "formal")
	results, err := os.ReadFile(filepath.Join(dir, "results.txt"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"seal.pv", "rekey.pv"} {
		model, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("%x  %s\n", sha256.Sum256(model), name); !strings.Contains(string(results), want) {
			t.Errorf("%s was changed: run spec/formal/run --write", name)
		}
		_, after, _ := strings.Cut(string(results), name+": as specified\n")
		proved := 0
		for line := range strings.SplitSeq(after, "\n") {
			verdict, query, ok := strings.Cut(strings.TrimPrefix(line, "  "), ": ")
			if !strings.HasPrefix(line, "  ") || !ok {
				break
			}
			reachable := strings.HasPrefix(query, "not event(")
			if want := map[bool]string{true: "is false", false: "is true"}[reachable]; verdict != want {
				t.Errorf("%s: %q %s", name, query, verdict)
			}
			proved++
		}
		if proved < 8 {
			t.Errorf("%s: %d results", name, proved)
		}
	}
}
