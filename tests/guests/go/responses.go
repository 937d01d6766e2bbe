package main

import (
	"fmt"
	"slices"
	"strings"

	"squall/imports/execution"
	"squall/imports/http"
	"squall/types"
)

func jsonPointers() {
	const document = `{"a":{"b":[1,2.5,"x\"y",null,true,{}]},"m~n":"tilde","s/t":"slash","":"empty","big":12345678901234567890}`
	response := reflect(http.MakeBodyJson(document))
	for _, at := range []struct {
		pointer string
		value   types.Option[string]
	}{
		{"/a/b/0", types.Some("1")},
		{"/a/b/1", types.Some("2.5")},
		{"/a/b/2", types.Some(`"x\"y"`)},
		{"/a/b/3", types.Some("null")},
		{"/a/b/4", types.Some("true")},
		{"/a/b/5", types.Some("{}")},
		{"/a/b/6", absent},
		{"/a/b/-", absent},
		{"/a/b/00", absent},
		{"/m~0n", types.Some(`"tilde"`)},
		{"/s~1t", types.Some(`"slash"`)},
		{"/", types.Some(`"empty"`)},
		{"/big", types.Some("12345678901234567890")},
		{"/none", absent},
		{"no-slash", absent},
	} {
		same(at.pointer, response.Json(at.pointer), at.value)
	}
	whole := response.Json("").SomeOr("")
	holds("the whole document", strings.HasPrefix(whole, "{") && strings.Contains(whole, `"tilde"`))
	same("the text is untouched", response.Text(), document)

	broken := reflect(http.MakeBodyJson(`{"a":1`))
	same("a body that is no JSON", broken.Json("/a"), absent)
	same("as a whole", broken.Json(""), absent)
	same("its text", broken.Text(), `{"a":1`)
}

// soak sends 8 headers and 1 KiB, reads both back, and keeps nothing: over thousands
// of iterations a VU's memory stays what it was.
func soak() {
	iteration := execution.Iteration()
	document := fmt.Sprintf(`{"iteration":%d,"fill":"`, iteration)
	document += strings.Repeat("x", 1_024-len(document)-2) + `"}`
	var sent []http.Header
	for n := range 8 {
		sent = append(sent, pair(fmt.Sprintf("x-soak-%d", n), fmt.Sprintf("value %d of %d", n, iteration)))
	}
	response := http.Post("/reflect", types.Some(http.MakeBodyJson(document)),
		with(http.Params{Headers: types.Some(sent)}))
	same("the status", response.Status(), 200)
	headers := response.Headers()
	for _, header := range sent {
		holds(header.F0+" came back", slices.Contains(headers, header))
	}
	same("the body", string(response.Body()), document)
}

// reflect sends a body that the server sends back.
func reflect(body http.Body) *http.Response {
	return http.Post("/reflect", types.Some(body), noParams)
}
