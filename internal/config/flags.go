package config

import (
	"io"
	"strings"
)

// Flags are the command line of the shortest use: one gate, no file.
//
//	sallyport serve --dev --to ws://127.0.0.1:3000 --origin https://localhost:5173 --forward http://127.0.0.1:3000/me
//
// Empty fields are not given.
type Flags struct {
	Dev       bool     // --dev: tls.dev
	Cert, Key string   // --cert, --key: tls.files
	To        string   // --to: the backend; required
	Path      string   // --path, default "/": everything but the door's endpoints
	Origins   []string // --origin, several times
	Without   string   // --without

	JWKS, Issuer, Audience string // --jwks, --issuer, --audience
	Forward                string // --forward
	Anonymous              string // --anonymous "reason"

	Listen string   // --listen
	Hosts  []string // --host, several times
	State  string   // --state
	App    string   // --app

	Set   map[string]string // further settings by dotted key, as in [Source]
	Env   []string          // as in [Source]
	Stdin io.Reader
}

// FromFlags makes the same File as a configuration file would, through the same
// checks; positions are the names of flags.
func FromFlags(f Flags) (*File, Origins, error) {
	l := newLoader(Source{Env: f.Env, Flags: f.Set, Stdin: f.Stdin})
	l.line = true
	return l.load(func() *node { return l.lineLayer(f) })
}

// lineLayer makes the tree of the flags.
func (l *loader) lineLayer(f Flags) *node {
	tree, gate := &node{kind: mapping}, &node{kind: mapping}
	layer := l.files + maxFiles + 2
	at := func(name string) Position { return Position{Source: "flag --" + name, layer: layer} }
	text := func(to *node, key, name, value string) {
		if value != "" {
			to.set(key, &node{kind: scalar, text: value, at: at(name), key: at(name)})
		}
	}
	many := func(to *node, key, name string, values []string) {
		n := &node{kind: list, at: at(name), key: at(name)}
		for _, v := range values {
			n.items = append(n.items, &node{kind: scalar, text: v, at: at(name), key: at(name)})
		}
		if len(values) > 0 {
			to.set(key, n)
		}
	}
	if f.Dev {
		text(tree, "tls.dev", "dev", "true")
	}
	if f.Cert != "" || f.Key != "" {
		pair := &node{kind: mapping, at: at("cert"), key: at("cert")}
		text(pair, "cert", "cert", f.Cert)
		text(pair, "key", "key", f.Key)
		tree.set("tls.files", &node{kind: list, items: []*node{pair}, at: at("cert"), key: at("cert")})
	}
	text(tree, "listen", "listen", f.Listen)
	many(tree, "hosts", "host", f.Hosts)
	text(tree, "state", "state", f.State)
	text(tree, "app", "app", f.App)

	if f.Path == "" {
		gate.set("path", &node{kind: scalar, text: "/", at: Position{Source: "default"}, key: Position{Source: "default"}})
	}
	text(gate, "path", "path", f.Path)
	text(gate, "to", "to", f.To)
	many(gate, "origins", "origin", f.Origins)
	text(gate, "without", "without", f.Without)
	text(gate, "auth.jwt.jwks", "jwks", f.JWKS)
	text(gate, "auth.jwt.issuer", "issuer", f.Issuer)
	text(gate, "auth.jwt.audience", "audience", f.Audience)
	text(gate, "auth.forward.url", "forward", f.Forward)
	text(gate, "auth.anonymous", "anonymous", f.Anonymous)
	l.oneWay(f, at)
	gate.at, gate.key = at("to"), at("to")
	tree.set("gates", &node{kind: list, items: []*node{gate}, at: at("to"), key: at("to")})
	return tree
}

// oneWay refuses more than one way to authenticate on the command line; in a
// file, jwt and forward may stand together.
func (l *loader) oneWay(f Flags, at func(string) Position) {
	var given []string
	if f.JWKS != "" || f.Issuer != "" || f.Audience != "" {
		given = append(given, "jwks")
	}
	if f.Forward != "" {
		given = append(given, "forward")
	}
	if f.Anonymous != "" {
		given = append(given, "anonymous")
	}
	if len(given) > 1 {
		l.report(at(given[1]), "gates.auth", "exactly one of --jwks, --forward and --anonymous may be given, not --%s; more belong into a file", strings.Join(given, " and --"))
		l.broken["gates[0].auth"] = true
	}
}
