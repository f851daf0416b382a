package config

import (
	"bytes"
	"errors"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

var good = shorthands.Replace("$GOOD\n")

// write puts files into a new directory and returns their names.
func write(t *testing.T, contents ...string) []string {
	t.Helper()
	dir := t.TempDir()
	var names []string
	for i, c := range contents {
		name := filepath.Join(dir, string(rune('a'+i))+".yaml")
		if err := os.WriteFile(name, []byte(c), 0o600); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	return names
}

func mustLoad(t *testing.T, s Source) (*File, Origins) {
	t.Helper()
	f, o, err := Load(s)
	if err != nil {
		t.Fatal(err)
	}
	return f, o
}

func TestEveryDefault(t *testing.T) {
	f, _ := mustLoad(t, Source{Files: write(t, good)})
	g := f.Gates[0]
	for _, c := range []struct {
		name      string
		got, want any
	}{
		{"limits", f.Limits, Limits{50000, 256, 16, 512 << 20, 1000, 256, 1 << 20}},
		{"api", f.API, API{Prefix: "/sallyport"}},
		{"health", f.Health, "127.0.0.1:9090"},
		{"admin", f.Admin.Listen, "unix"},
		{"log", f.Log, Log{"auto", "info"}},
		{"shutdown", f.Shutdown, Shutdown{0, 25 * time.Second}},
		{"listen with tls.dev", f.Listen, "127.0.0.1:8443"},
		{"hosts with tls.dev", f.Hosts, []string{"localhost", "*.localhost", "127.0.0.1", "[::1]"}},
		{"oldest TLS", f.TLS.MinVersion, "1.3"},
		{"guard", g.Guard, Guard{time.Minute, "any", 25 * time.Second, 10 * time.Second, 24 * time.Hour, 64 << 10, 16 << 20, 50, 256 << 10}},
		{"seal", g.Seal, "off"},
		{"refuse", g.Refuse, "close"},
		{"http", g.HTTP, "refuse"},
		{"without", g.Without, "refuse"},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: got %+v, want %+v", c.name, c.got, c.want)
		}
	}
}

func TestLayers(t *testing.T) {
	files := write(t, good+"limits: {connections: 1, per_address: 1, per_subject: 1, handshakes: 1}\nhosts: [a.example.com]\n",
		"limits: {per_address: 2, per_subject: 2, handshakes: 2}\nhosts: [b.example.com]\n"+
			"gates:\n  - {path: /b, to: \"ws://127.0.0.1:1\", origins: [\"https://b.example.com\"], auth: {session: {}}}\n")
	f, o := mustLoad(t, Source{
		Files: files,
		Env: []string{"SALLYPORT_LIMITS__PER_SUBJECT=3", "SALLYPORT_LIMITS__HANDSHAKES=3", "SALLYPORT_DEFAULTS__GUARD__IDLE=3m",
			"SALLYPORT_SERVICE_HOST=10.0.0.1", "SALLYPORT_PORT_8443_TCP_ADDR=10.0.0.1", "SALLYPORT_CONFIG=x", "HOME=/"},
		Flags: map[string]string{"limits.handshakes": "4"},
	})
	for key, want := range map[string]string{
		"limits.connections":  files[0] + ":8:23",
		"limits.per_address":  files[1] + ":1:23",
		"limits.per_subject":  "env SALLYPORT_LIMITS__PER_SUBJECT",
		"limits.handshakes":   "flag --limits.handshakes",
		"limits.buffered":     "default",
		"gates[1].guard.idle": "env SALLYPORT_DEFAULTS__GUARD__IDLE",
		"gates[1].path":       files[1] + ":4:12",
	} {
		if got := o[key].String(); got != want {
			t.Errorf("%s: got %s, want %s", key, got, want)
		}
	}
	if want := (Limits{1, 2, 3, 512 << 20, 1000, 4, 1 << 20}); f.Limits != want {
		t.Errorf("limits: got %+v, want %+v", f.Limits, want)
	}
	if want := []string{"b.example.com"}; !slices.Equal(f.Hosts, want) {
		t.Errorf("hosts: got %v, want %v, since lists are replaced whole", f.Hosts, want)
	}
	if len(f.Gates) != 2 || f.Gates[0].Path != "/ws" || f.Gates[1].Guard.Idle != 3*time.Minute {
		t.Errorf("gates: got %+v, want those of both files with the default of the environment", f.Gates)
	}
}

func TestDefaultsAreMergedByKey(t *testing.T) {
	f, _ := mustLoad(t, Source{Files: write(t, `
tls: {dev: true}
state: memory
defaults:
  to: ws://127.0.0.1:1
  origins: ["https://a.example.com"]
  auth: {jwt: {issuer: i, audience: a, jwks: "https://idp.example.com/jwks"}}
  guard: {idle: 90s, max_message: 1KiB}
gates:
  - {path: /a}
  - {path: /b, origins: ["https://b.example.com"], auth: {forward: {url: "http://127.0.0.1:1/me"}}, guard: {idle: 2m}}
`)})
	a, b := f.Gates[0], f.Gates[1]
	if a.Auth.JWT == nil || a.Guard.Idle != 90*time.Second || a.Origins[0] != "https://a.example.com" {
		t.Errorf("got %+v, want everything from defaults", a)
	}
	if b.Auth.JWT != nil || b.Auth.Forward == nil || len(b.Origins) != 1 {
		t.Errorf("got %+v, want auth and origins replaced whole", b)
	}
	if b.Guard.Idle != 2*time.Minute || b.Guard.MaxMessage != 1<<10 || b.To != "ws://127.0.0.1:1" {
		t.Errorf("got %+v, want guard key by key", b.Guard)
	}
}

func TestEnvironmentAndFlags(t *testing.T) {
	for _, c := range []struct {
		name  string
		env   []string
		flags map[string]string
		want  string // of the error; empty: none
	}{
		{"a list has commas", []string{"SALLYPORT_HOSTS=a.example.com, b.example.com"}, nil, ""},
		{"a header name is made of the variable's", []string{"SALLYPORT_IDENTITY__HEADERS__X_FORWARDED_USER=sub"}, nil, ""},
		{"a misspelt variable", []string{"SALLYPORT_LIMITS__CONECTIONS=1"}, nil, "env SALLYPORT_LIMITS__CONECTIONS: no such setting, did you mean SALLYPORT_LIMITS__CONNECTIONS?"},
		{"a single underscore for two", []string{"SALLYPORT_LOG_LEVEL=info"}, nil, "did you mean SALLYPORT_LOG__LEVEL?"},
		{"a variable of nothing we know", []string{"SALLYPORT_XYZZYPLUGH=1"}, nil, "names are SALLYPORT_SECTION__KEY"},
		{"a variable that is a secret referred to", []string{"SALLYPORT_TOKEN_X=" + strings.Repeat("ab", 32)}, map[string]string{"admin": "127.0.0.1:9091", "admin.token": "env:SALLYPORT_TOKEN_X"}, ""},
		{"a secret given in a variable", []string{"SALLYPORT_ADMIN__TOKEN=hunter2"}, nil, `env SALLYPORT_ADMIN__TOKEN: "token" is given inline`},
		{"a doubled variable", []string{"SALLYPORT_STATE=a", "SALLYPORT_STATE=b"}, nil, "env SALLYPORT_STATE: the environment has SALLYPORT_STATE twice"},
		{"a value of the wrong type", []string{"SALLYPORT_LIMITS__CONNECTIONS=many"}, nil, `env SALLYPORT_LIMITS__CONNECTIONS: "connections" is a whole number, not "many"`},
		{"a section", []string{"SALLYPORT_LOG=json"}, nil, `"log" is a mapping or list`},
		{"gates", []string{"SALLYPORT_GATES=x"}, nil, "gates are written in a file"},
		{"gates by index", nil, map[string]string{"gates.0.to": "x"}, "flag --gates.0.to: gates are written in a file"},
		{"an empty mapping", []string{"SALLYPORT_DEFAULTS__AUTH__SESSION={}"}, nil, ""},
		{"a mapping with something in it", []string{"SALLYPORT_DEFAULTS__AUTH__SESSION=x"}, nil, "only {} can be given here"},
		{"a misspelt flag", nil, map[string]string{"limits.conections": "1"}, `flag --limits.conections: unknown key "limits.conections", did you mean "limits.connections"?`},
		{"a flag of nothing we know", nil, map[string]string{"xyzzyplugh": "1"}, `unknown key "xyzzyplugh"`},
		{"a flag that cannot be printed", nil, map[string]string{"\x1b[31m": "1"}, "flags: a key that cannot be printed"},
		{"a key twice", nil, map[string]string{"admin": "unix", "admin.listen": "off"}, "is given twice"},
		{"defaults have no path", nil, map[string]string{"defaults.path": "/x"}, "unknown key"},
		{"a value with control characters", nil, map[string]string{"app": "\x1b[31m"}, "characters that cannot be printed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Load(Source{Files: write(t, good), Env: c.env, Flags: c.flags})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.ContainsAny(err.Error(), "\x1b") || err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the report repeats what it must not: %q", err)
			}
		})
	}
}

func TestFiles_SR91_AT98(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yaml")
	os.WriteFile(big, bytes.Repeat([]byte("#"), maxFile+1), 0o600)
	open := filepath.Join(dir, "open.yaml")
	os.WriteFile(open, []byte(good), 0o600)
	os.Chmod(open, 0o666)
	confd := filepath.Join(dir, "conf.d")
	os.Mkdir(confd, 0o700)
	os.WriteFile(filepath.Join(confd, "1.yaml"), []byte("tls: {dev: true}\nstate: memory\n"), 0o600)
	os.WriteFile(filepath.Join(confd, "2.yml"), []byte(good[strings.Index(good, "gates"):]), 0o600)
	os.WriteFile(filepath.Join(confd, ".hidden.yaml"), []byte("x"), 0o600)
	empty := filepath.Join(dir, "empty")
	os.Mkdir(empty, 0o700)
	latin := filepath.Join(dir, "latin.yaml")
	os.WriteFile(latin, []byte("app: \xe4\n"), 0o600)
	for _, c := range []struct {
		name  string
		files []string
		stdin string
		want  string
	}{
		{"SR-91 a missing file stops the start", []string{filepath.Join(dir, "none.yaml")}, "", "none.yaml: cannot be read: no such file or directory"},
		{"a file of more than 1 MiB", []string{big}, "", "larger than 1MiB"},
		{"AT-98 a file that everybody may change", []string{open}, "", "may be changed by everybody (mode 0666)"},
		{"a directory stands for its files", []string{confd}, "", ""},
		{"an empty directory", []string{empty}, "", "has no *.yaml file"},
		{"standard input", []string{"-"}, good, ""},
		{"a mistake on standard input", []string{"-"}, good + "x: 1\n", "stdin:8:1: unknown key"},
		{"one file twice", []string{"-", "-"}, good, "named twice"},
		{"bytes that are no text", []string{latin}, "", "not valid UTF-8"},
		{"JSON is YAML", []string{"-"}, `{"tls":{"dev":true},"state":"memory","gates":[{"path":"/ws","to":"ws://127.0.0.1:3000","origins":["https://app.example.com"],"auth":{"anonymous":"a public demonstration"}}]}`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f, _, err := Load(Source{Files: c.files, Stdin: strings.NewReader(c.stdin)})
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if (f == nil) != (err != nil) {
				t.Error("a file comes exactly without an error")
			}
		})
	}
	if _, _, err := Load(Source{Files: []string{"-"}}); err == nil {
		t.Error("no standard input: got no error")
	}
}

func TestStateDirectory(t *testing.T) {
	stateless := strings.Replace(good, "state: memory\n", "", 1)
	for _, c := range []struct {
		name, want string
		env        []string
	}{
		{"the service manager's first", "/var/lib/sallyport", []string{"STATE_DIRECTORY=/var/lib/sallyport:/var/lib/other", "XDG_STATE_HOME=/x", "HOME=/home/u"}},
		{"then the desktop's", "/x/sallyport", []string{"XDG_STATE_HOME=/x", "HOME=/home/u"}},
		{"then the home directory's", "/home/u/.local/state/sallyport", []string{"XDG_STATE_HOME=relative", "HOME=/home/u"}},
	} {
		f, o := mustLoad(t, Source{Files: write(t, stateless), Env: c.env})
		if f.State != c.want || !strings.HasPrefix(o["state"].String(), "env ") {
			t.Errorf("%s: got %s from %s, want %s", c.name, f.State, o["state"], c.want)
		}
	}
	files := write(t, stateless+"state: here\n")
	f, _ := mustLoad(t, Source{Files: files})
	if want := filepath.Join(filepath.Dir(files[0]), "here"); f.State != want {
		t.Errorf("relative to the file: got %s, want %s", f.State, want)
	}
}

func TestTrustedProxiesComeFromTerminatedBy(t *testing.T) {
	text := strings.Replace(good, "tls: {dev: true}", "tls: {terminated_by: [unix, 10.0.0.0/8, 127.0.0.1]}\nhosts: [app.example.com]", 1)
	f, o := mustLoad(t, Source{Files: write(t, text)})
	p := f.TrustedProxies
	if !p.Unix || !p.Contains(netip.MustParseAddr("::ffff:10.1.2.3")) || p.Contains(netip.MustParseAddr("11.0.0.1")) || !p.Contains(netip.MustParseAddr("127.0.0.1")) {
		t.Errorf("got %v from %s", p.Strings(), o["trusted_proxies"])
	}
	f, _ = mustLoad(t, Source{Files: write(t, text+"trusted_proxies: [192.0.2.1]\n")})
	if got := f.TrustedProxies.Strings(); !slices.Equal(got, []string{"192.0.2.1/32"}) {
		t.Errorf("got %v, want what is written", got)
	}
}

func TestSecretsAreReferences_AT98(t *testing.T) {
	dir := fixtures(t)
	path := filepath.Join(dir, "strong.token")
	f, o := mustLoad(t, Source{Files: write(t, good+"admin: {listen: \"127.0.0.1:9091\", token: \"file:"+path+"\"}\n")})
	token, err := f.Admin.Token.Read()
	if err != nil || string(token) != strings.Repeat("0123456789abcdef", 4) {
		t.Fatalf("got %q and %v, want the content without its line end", token, err)
	}
	for _, masked := range []bool{false, true} {
		var b bytes.Buffer
		if err := Show(&b, f, o, masked); err != nil || strings.Contains(b.String(), "0123456789") || strings.Contains(b.String(), path) == masked {
			t.Errorf("masked %v: got %v and\n%s", masked, err, &b)
		}
	}
	os.Chmod(path, 0o604)
	if _, err := f.Admin.Token.Read(); err == nil || !strings.Contains(err.Error(), "readable by everybody") {
		t.Errorf("a file that was opened to everybody later: got %v", err)
	}
	if _, err := (Secret{}).Read(); err == nil {
		t.Error("the zero secret: got no error")
	}
}

func TestErrorIsTyped(t *testing.T) {
	_, _, err := Load(Source{})
	var e *Error
	if !errors.As(err, &e) || len(e.Problems) != 3 {
		t.Fatalf("got %v, want three problems", err)
	}
	many := &Error{Problems: make([]Problem, maxProblems+5)}
	if got := many.Error(); !strings.Contains(got, "… and 5 more\n105 errors.") {
		t.Errorf("got %q, want a bounded report", got[max(0, len(got)-60):])
	}
}

// TestTableIsComplete sets every key to its default, so that no row lacks its case in value.
func TestTableIsComplete(t *testing.T) {
	for _, e := range slices.Concat(topEntries, gateEntries) {
		if e.doc == "" || !strings.HasSuffix(e.doc, ".") {
			t.Errorf("%s: %q is no paragraph", e.key, e.doc)
		}
		if e.isSection() || e.def == "" {
			continue
		}
		l := newLoader(Source{})
		if err := l.value(e, fromText(e.target, e.def, Position{Source: "default"}), e.key); err != nil {
			t.Errorf("%s: default %q: %v", e.key, e.def, err)
		}
	}
	l := newLoader(Source{})
	for _, e := range slices.Concat(topEntries, gateEntries) {
		if !e.isSection() {
			if err := l.value(e, &node{kind: scalar, text: "x"}, e.key); err != nil && strings.Contains(err.Error(), "cannot be set") {
				t.Error(err)
			}
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("admin: {token: hunter2}\ngates: [{}]\n"))
	data, err := os.ReadFile(filepath.Join("testdata", "rules.txt"))
	if err != nil {
		f.Fatal(err)
	}
	for row := range strings.SplitSeq(string(data), "\n# ") {
		_, input, _ := strings.Cut(row, "\n")
		input, _, _ = strings.Cut(input, "\n----\n")
		f.Add([]byte(shorthands.Replace(input)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, origins, err := Load(Source{Files: []string{"-"}, Stdin: bytes.NewReader(data)})
		if err != nil {
			if file != nil || err.Error() == "" {
				t.Fatal("an error with a file, or without a text")
			}
			for _, c := range err.Error() {
				if c < ' ' && c != '\n' && c != '\t' || c == 0x7f {
					t.Fatalf("the report has a control character: %q", err)
				}
			}
			return
		}
		if len(file.Gates) == 0 || len(maps.Collect(maps.All(origins))) == 0 {
			t.Fatal("a file without gates was accepted")
		}
		var b bytes.Buffer
		if err := Show(&b, file, origins, false); err != nil {
			t.Fatal(err)
		}
		again, _, err := Load(Source{Files: []string{"-"}, Stdin: bytes.NewReader(b.Bytes())})
		if err != nil {
			t.Fatalf("what Show prints does not load: %v\n%s", err, &b)
		}
		again.Defaults, file.Defaults = Gate{}, Gate{}
		if !reflect.DeepEqual(scrub(again), scrub(file)) {
			t.Fatalf("what Show prints is another configuration:\n%+v\n%+v\n%s", again, file, &b)
		}
	})
}

// scrub makes files comparable: functions never are, and an empty list is none.
func scrub(f *File) *File {
	f.Admin.Token.lookup = nil
	for i := range f.Gates {
		if j := f.Gates[i].Auth.JWT; j != nil {
			j.Secret.lookup = nil
		}
		if len(f.Gates[i].Origins) == 0 {
			f.Gates[i].Origins = nil
		}
	}
	for _, list := range []*[]string{&f.Hosts, &f.API.Origins} {
		if len(*list) == 0 {
			*list = nil
		}
	}
	if len(f.Identity.Headers) == 0 {
		f.Identity.Headers = nil
	}
	return f
}
