package demo

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write page/sallyport.js as js/client builds it")

const bundle = "page/sallyport.js"

// The page's client is committed, so that the demo needs Go alone. Where the tools
// of js are installed, it is held against a fresh build, made in a copy: others
// may be using js/client/dist.
func TestThePageHasTheClientAsItIsBuilt(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	js, err := filepath.Abs("../../js")
	if err != nil {
		t.Fatal(err)
	}
	tools := filepath.Join(js, "node_modules")
	for _, name := range []string{"esbuild", "typescript"} {
		if _, err := os.Stat(filepath.Join(tools, name)); err != nil {
			t.Skip("the tools of js are not installed: npm ci in js")
		}
	}
	dir := t.TempDir()
	if err := os.Symlink(tools, filepath.Join(dir, "node_modules")); err != nil {
		t.Fatal(err)
	}
	client := filepath.Join(dir, "client")
	for _, part := range []string{"src", "scripts"} {
		if err := os.CopyFS(filepath.Join(client, part), os.DirFS(filepath.Join(js, "client", part))); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"package.json", "tsconfig.json", "tsconfig.build.json"} {
		data, err := os.ReadFile(filepath.Join(js, "client", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(client, name), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), node, "scripts/build.mjs")
	build.Dir = client
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	want, err := os.ReadFile(filepath.Join(client, "dist", "sallyport.iife.js"))
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(bundle, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %d bytes, a fresh build %d, and they differ: run go generate ./internal/demo", bundle, len(got), len(want))
	}
}
