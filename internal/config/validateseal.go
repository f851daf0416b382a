package config

import (
	"fmt"
	"strconv"
	"strings"
)

// maxAuthorities is what one set of sealing keys can have, by package sealkeys.
const maxAuthorities = 16

// suites are the names that sealing.suites knows.
var suites = []string{"MLKEM768-X25519", "X25519"}

func (l *loader) validateSealing() {
	c := &l.out.Sealing
	l.members("sealing.authorities", func(s string) error {
		host, port, err := splitHostPort(s)
		switch {
		case err != nil && hostName(strings.Trim(s, "[]")):
			return fmt.Errorf("%q has no port, which clients always name: write %q", s, strings.ToLower(s)+":443")
		case err != nil || port == 0 || !hostName(host) || s[strings.LastIndexByte(s, ':')+1:] != strconv.Itoa(port):
			return fmt.Errorf("%q is not host:port, as app.example.com:443", s)
		case s != strings.ToLower(s):
			return fmt.Errorf("%q is written in lower case: %q", s, strings.ToLower(s))
		}
		return nil
	})
	if l.fine("sealing.authorities") && len(c.Authorities) > maxAuthorities {
		l.fail("sealing.authorities", "%d names; one set of keys has at most %d", len(c.Authorities), maxAuthorities)
	}
	l.members("sealing.suites", func(s string) error {
		if !oneOf(s, suites) {
			return fmt.Errorf("%q is none of %s", s, strings.Join(suites, ", "))
		}
		return nil
	})
	if l.nodes["sealing.suites"] != nil && l.fine("sealing.suites") && len(c.Suites) == 0 {
		l.fail("sealing.suites", "a seal needs a suite: remove the key, or write MLKEM768-X25519")
	}
}

// validateSeal checks what a gate with a seal cannot have besides.
func (l *loader) validateSeal(g *Gate, key string) {
	if g.Seal != "required" || !l.fine(key+".seal") {
		return
	}
	if g.HTTP == "guarded" && l.fine(key+".http") {
		l.fail(key+".http", "ordinary requests cannot be sealed: write http: refuse with seal: required, or seal: offered")
	}
	if g.DangerouslyPassMasked != "" && l.fine(key+".dangerously_pass_masked") {
		l.fail(key+".dangerously_pass_masked", "what is sealed is opened by the door and cannot pass with the client's mask: remove the key, or write seal: offered, where it applies to those who do not seal")
	}
	if g.RequireBound && g.Auth.JWT == nil && g.Auth.Anonymous == "" && (g.Auth.Forward != nil || g.Auth.Session != nil) && l.fine(key+".auth") && l.fine(key+".require_bound") {
		l.fail(key+".seal", "seal: required admits credentials only that are bound to a key, which tokens of auth.jwt alone can be: add it, or write require_bound: false to admit those that anybody in between could use")
	}
}
