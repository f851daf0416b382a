// Command gen writes deny/reasons.go, docs/REASONS.md and js/client/src/reasons.ts from spec/reasons.json.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/format"
	"log"
	"os"
	"strings"
)

type row struct {
	Code, Title, Client, Sentence string
	Close, Status, Backend        int
}

func main() {
	log.SetFlags(0)
	data, err := os.ReadFile("../spec/reasons.json")
	if err != nil {
		log.Fatal(err)
	}
	var rows []row
	if err := json.Unmarshal(data, &rows); err != nil {
		log.Fatal(err)
	}

	var b bytes.Buffer
	b.WriteString("// Code generated from spec/reasons.json by deny/gen; DO NOT EDIT.\n\npackage deny\n\nconst (\n")
	for i, r := range rows {
		typ := ""
		if i == 0 {
			typ = " Reason = iota + 1"
		}
		fmt.Fprintf(&b, "%s%s // %s: %d, HTTP %d. %s\n", name(r.Code), typ, r.Code, r.Close, r.Status, r.Sentence)
	}
	b.WriteString(")\n\nvar table = [...]row{\n{},\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "{%q, %q, %d, %d, %d, %q, %q},\n", r.Code, r.Title, r.Close, r.Backend, r.Status, r.Client, r.Sentence)
	}
	b.WriteString("}\n")
	src, err := format.Source(b.Bytes())
	if err != nil {
		log.Fatal(err)
	}
	write("reasons.go", src)

	b.Reset()
	b.WriteString("# Reasons\n\nGenerated from `spec/reasons.json`; edit that file and run `go generate ./deny`.\n\n")
	b.WriteString("| code | close | HTTP | title | what a client does | backend leg | sentence |\n|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		fmt.Fprintf(&b, "| `%s` | %d | %d | %s | %s | %d | %s |\n", r.Code, r.Close, r.Status, r.Title, r.Client, r.Backend, r.Sentence)
	}
	write("../docs/REASONS.md", b.Bytes())

	write("../js/client/src/reasons.ts", typescript(rows))
}

// typescript writes what a client acts on. Codes that share everything share a
// line, since pages pay for every byte.
func typescript(rows []row) []byte {
	var b bytes.Buffer
	b.WriteString("// Generated from spec/reasons.json by deny/gen; edit that file and run go generate ./deny.\n\n")
	b.WriteString("/** Why the door ended or refused a connection. */\nexport type Code =\n")
	var kinds []string
	codes := map[string][]string{}
	for _, r := range rows {
		fmt.Fprintf(&b, "  | '%s'\n", r.Code)
		if strings.ContainsAny(r.Title, `'\`) {
			log.Fatalf("the title of %s would need quoting", r.Code)
		}
		if strings.HasPrefix(r.Code, "http.") { // told by an HTTP status, before there is a close
			continue
		}
		kind := fmt.Sprintf("'%s', %d, '%s'", r.Client, r.Close, r.Title)
		if codes[kind] == nil {
			kinds = append(kinds, kind)
		}
		codes[kind] = append(codes[kind], r.Code)
	}
	b.WriteString(`
/**
 * What a client does after an end with a code: stay away, come back with a fresh credential, come back after a
 * back-off, or come back when there is something to send.
 */
export type Behaviour = 'never' | 'reauth' | 'later' | 'next-use'

/** What the table of reasons says of a code: what a client does, the close code, and the title in the close reason. */
export interface Reason {
  act: Behaviour
  close: number
  title: string
}

const table: [act: Behaviour, close: number, title: string, codes: string][] = [
`)
	for _, kind := range kinds {
		line := fmt.Sprintf("  [%s, '%s'],\n", kind, strings.Join(codes[kind], " "))
		if len(line) > 141 { // the formatter's width
			line = fmt.Sprintf("  [\n    %s,\n    '%s',\n  ],\n", strings.ReplaceAll(kind, ", ", ",\n    "), strings.Join(codes[kind], " "))
		}
		b.WriteString(line)
	}
	b.WriteString(`]

/** The row of a code that can end a connection; undefined for any other, those of HTTP among them. */
export function lookup(code: string): Reason | undefined {
  for (const [act, close, title, codes] of table) if (codes.split(' ').includes(code)) return { act, close, title }
  return
}

/** What a client does after an end with code; undefined if it is not of the table. */
export const behaviour = (code: string): Behaviour | undefined => lookup(code)?.act
`)
	return b.Bytes()
}

func write(file string, data []byte) {
	if err := os.WriteFile(file, data, 0o644); err != nil {
		log.Fatal(err)
	}
}

// name turns auth.ticket-used into AuthTicketUsed.
func name(code string) string {
	var b strings.Builder
	for _, part := range strings.FieldsFunc(code, func(r rune) bool { return r == '.' || r == '-' }) {
		switch part {
		case "http", "url", "ws":
			part = strings.ToUpper(part)
		case "utf8":
			part = "UTF8"
		default:
			part = strings.ToUpper(part[:1]) + part[1:]
		}
		b.WriteString(part)
	}
	return b.String()
}
