package main

import (
	"log"
	"net/http"
	"os"
	"strings"

	"github.com/golang-jwt/jwt/v5"

	"github.com/sallyport/sallyport/bench/wire"
)

// bearer returns a check of ES256 tokens with golang-jwt, as a program around
// gorilla would make it; without a public key it admits everybody.
func (s *site) bearer() func(*http.Request) bool {
	if s.public == "" {
		return func(*http.Request) bool { return true }
	}
	pem, err := os.ReadFile(s.public)
	if err != nil {
		log.Fatal("serve: ", err)
	}
	key, err := jwt.ParseECPublicKeyFromPEM(pem)
	if err != nil {
		log.Fatal("serve: ", err)
	}
	parser := jwt.NewParser(jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(wire.Issuer), jwt.WithAudience(wire.Audience))
	return func(r *http.Request) bool {
		token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
		if !ok {
			return false
		}
		t, err := parser.Parse(token, func(*jwt.Token) (any, error) { return key, nil })
		return err == nil && t.Valid
	}
}
