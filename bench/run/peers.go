package main

import (
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// caddyVersion is what is built, through the Go module proxy.
const caddyVersion = "v2.11.9"

// peers is where the others are, and which version of them; empty if they are not.
type peers struct {
	module           map[string]string // by path, of the libraries
	node             string
	nginx            string
	haproxy          string // path
	haproxyLibraries string // folder
	haproxyVersion   string
}

// program is the path of one that was built.
func (l *lab) program(name string) string { return filepath.Join(l.bin, name) }

// build builds the load client and every server that is a library.
func (l *lab) build() error {
	bench := filepath.Join(l.root, "bench")
	for _, name := range []string{"serve", "drive"} {
		if err := command(bench, "go", "build", "-trimpath", "-o", l.program(name), "./"+name); err != nil {
			return err
		}
	}
	info, err := buildinfo.ReadFile(l.program("serve"))
	if err != nil {
		return err
	}
	l.peers.module = map[string]string{"go": info.GoVersion}
	for _, m := range info.Deps {
		l.peers.module[m.Path] = m.Version
	}
	return nil
}

// buildRelay builds the program, when a row wants it first.
func (l *lab) buildRelay() error {
	if l.relayBuilt {
		return nil
	}
	err := command(l.root, "go", "build", "-trimpath", "-o", l.program("sallyport"), "./cmd/sallyport")
	l.relayBuilt = err == nil
	return err
}

// install gets the servers that are programs. A server that cannot be had is left
// out of the tables, with the reason.
func (l *lab) install() error {
	for what, f := range map[string]func() error{
		"Caddy": l.installCaddy, "the package ws": l.installNode, "HAProxy": l.installHAProxy, "nginx": l.findNginx,
	} {
		if err := f(); err != nil {
			fmt.Fprintf(os.Stderr, "bench: no %s: %v\n", what, err)
		}
	}
	return nil
}

func (l *lab) installCaddy() error {
	if info, err := buildinfo.ReadFile(l.program("caddy")); err == nil && info.Main.Version == caddyVersion {
		return nil
	}
	fmt.Fprintln(os.Stderr, "bench: building Caddy, once")
	cmd := exec.Command("go", "install", "github.com/caddyserver/caddy/v2/cmd/caddy@"+caddyVersion)
	cmd.Env = append(os.Environ(), "GOBIN="+l.bin)
	return run(cmd)
}

func (l *lab) installNode() error {
	folder := filepath.Join(l.root, "bench", "peers")
	if _, err := os.Stat(filepath.Join(folder, "node_modules", "ws")); err != nil {
		if err := command(folder, "npm", "ci"); err != nil {
			return err
		}
	}
	cmd := exec.Command("node", "-p", "process.versions.node + ' with ws ' + JSON.parse(fs.readFileSync('node_modules/ws/package.json')).version")
	cmd.Dir = folder
	out, err := cmd.Output()
	l.peers.node = "Node " + strings.TrimSpace(string(out))
	if err != nil {
		l.peers.node = ""
	}
	return err
}

func (l *lab) findNginx() error {
	out, err := exec.Command("nginx", "-V").CombinedOutput() // it answers on stderr
	if err != nil {
		return errors.Join(err, errors.New("apt-get install nginx-light"))
	}
	return version(&l.peers.nginx, out)
}

// haproxyPackages are Debian's package and what of its libraries may be missing.
var haproxyPackages = []string{"haproxy", "liblua5.3-0", "libopentracing-c-wrapper0", "libopentracing1"}

// installHAProxy takes the one that is installed, or unpacks Debian's package
// into a folder of ours: installing it would start it, too.
func (l *lab) installHAProxy() error {
	folder := filepath.Join(filepath.Dir(l.bin), "haproxy")
	unpacked := filepath.Join(folder, "usr", "sbin", "haproxy")
	path, err := exec.LookPath("haproxy")
	if err != nil {
		path = unpacked
	}
	if _, err := os.Stat(path); err != nil {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			return err
		}
		if err := command(folder, "apt-get", append([]string{"download"}, haproxyPackages...)...); err != nil {
			return err
		}
		packages, err := filepath.Glob(filepath.Join(folder, "*.deb"))
		if err != nil {
			return err
		}
		for _, p := range packages {
			if err := command(folder, "dpkg", "-x", p, folder); err != nil {
				return err
			}
		}
	}
	libraries, _ := filepath.Glob(filepath.Join(folder, "usr", "lib", "*-linux-gnu"))
	l.peers.haproxyLibraries = strings.Join(libraries, ":")
	cmd := exec.Command(path, "-vv")
	cmd.Env = append(os.Environ(), "LD_LIBRARY_PATH="+l.peers.haproxyLibraries)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	l.peers.haproxy = path
	return version(&l.peers.haproxyVersion, out)
}

// What programs say of themselves: "nginx version: nginx/1.22.1",
// "HAProxy version 2.6.12-1+deb12u4", "running with OpenSSL 3.0.19",
// "Running on OpenSSL version : OpenSSL 3.0.19".
var (
	versionNumber  = regexp.MustCompile(`version:? (?:nginx/)?(\d[\w.]*)`)
	runningOpenSSL = regexp.MustCompile(`(?i)running (?:with|on OpenSSL version :) (OpenSSL \d[\w.]*)`)
	builtOpenSSL   = regexp.MustCompile(`(?i)built with (OpenSSL \d[\w.]*)`)
)

// version takes from such words what belongs into a table.
func version(to *string, said []byte) error {
	m := versionNumber.FindSubmatch(said)
	if m == nil {
		return fmt.Errorf("no version in %q", said)
	}
	*to = string(m[1])
	for _, openssl := range []*regexp.Regexp{runningOpenSSL, builtOpenSSL} {
		if m := openssl.FindSubmatch(said); m != nil {
			*to += " with " + string(m[1])
			break
		}
	}
	return nil
}

func command(in, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Dir = in
	return run(cmd)
}

// run runs a command and shows what it said only if it fails.
func run(cmd *exec.Cmd) error {
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, out)
	}
	return nil
}
