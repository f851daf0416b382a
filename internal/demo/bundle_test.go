package demo

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write page/sallyport.js and page/crypto.js as js/client builds them")

// entry makes one file of the seal, with the package that it needs.
const entry = `
import { build } from 'esbuild'
await build({
  entryPoints: ['./src/crypto/index.ts'], outfile: 'dist/crypto.bundle.js',
  bundle: true, minify: true, format: 'esm', target: 'es2022', platform: 'neutral', mainFields: ['module', 'main'], charset: 'utf8', logLevel: 'warning', legalComments: 'none',
})
`

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
	if err := os.WriteFile(filepath.Join(client, "scripts", "entry.mjs"), []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, script := range []string{"scripts/build.mjs", "scripts/entry.mjs"} {
		build := exec.CommandContext(t.Context(), node, script)
		build.Dir = client
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	for built, committed := range map[string]string{"sallyport.iife.js": "page/sallyport.js", "crypto.bundle.js": "page/crypto.js"} {
		want, err := os.ReadFile(filepath.Join(client, "dist", built))
		if err != nil {
			t.Fatal(err)
		}
		if *update {
			if err := os.WriteFile(committed, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(committed)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is %d bytes, a fresh build %d, and they differ: run go generate ./internal/demo", committed, len(got), len(want))
		}
	}
}
