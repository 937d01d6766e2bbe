package main

import (
	"fmt"
	"strings"

	"squall/imports/http"
	"squall/imports/timing"
	"squall/types"
)

func methods() {
	body := types.Some(http.MakeBodyText("hello"))
	for _, sent := range []struct {
		method   string
		response *http.Response
	}{
		{"GET", http.Get("/echo", noParams)},
		{"DELETE", http.Delete("/echo", noParams)},
		{"POST", http.Post("/echo", body, noParams)},
		{"PUT", http.Put("/echo", body, noParams)},
		{"PATCH", http.Patch("/echo", body, noParams)},
		{"OPTIONS", http.Send(request("OPTIONS", "/echo"))},
		{"REPORT", http.Send(request("REPORT", "/echo"))},
	} {
		same(sent.method, sent.response.Status(), 200)
		same(sent.method, echoed(sent.response, "/method"), sent.method)
		want := ""
		if strings.HasPrefix(sent.method, "P") {
			want = "hello"
		}
		same(sent.method, echoed(sent.response, "/body"), want)
	}

	head := http.Head("/echo", noParams)
	same("HEAD", head.Status(), 200)
	same("the body of HEAD", len(head.Body()), 0)

	nothing := http.Post("/echo", noBody, noParams)
	same("POST of nothing", echoed(nothing, "/body"), "")
}

func bodies() {
	form := []types.Tuple2[string, string]{pair("name", "Ann & Bob"), pair("city", "Köln"), pair("empty", "")}
	for _, body := range []struct {
		body        http.Body
		contentType types.Option[string]
		sent        string
	}{
		{http.MakeBodyBytes([]byte("raw")), absent, "raw"},
		{http.MakeBodyText("grüße"), types.Some("text/plain; charset=utf-8"), "grüße"},
		// Not checked: it is sent as it is.
		{http.MakeBodyJson("{ not json"), types.Some("application/json"), "{ not json"},
		{
			http.MakeBodyForm(form),
			types.Some("application/x-www-form-urlencoded"),
			"name=Ann+%26+Bob&city=K%C3%B6ln&empty=",
		},
	} {
		response := http.Post("/echo", types.Some(body.body), noParams)
		same("the body", echoed(response, "/body"), body.sent)
		same(body.sent, ifEchoed(response, "/headers/content-type"), body.contentType)

		own := with(http.Params{
			Headers: types.Some([]http.Header{pair("Content-Type", "application/mine")}),
		})
		response = http.Put("/echo", types.Some(body.body), own)
		same("a content type of one's own", echoed(response, "/headers/content-type"), "application/mine")
	}
}

func headers() {
	sent := func(params types.Option[http.Params]) types.Option[string] {
		return ifEchoed(http.Get("/echo", params), "/headers/x-test")
	}
	same("before", sent(noParams), absent)

	http.SetHeader("X-Test", types.Some("default"))
	same("after set-header", sent(noParams), types.Some("default"))
	own := with(http.Params{Headers: types.Some([]http.Header{pair("x-TEST", "own")})})
	same("a header of the request's own", sent(own), types.Some("own"))
	same("after a header of the request's own", sent(noParams), types.Some("default"))

	http.SetHeader("x-test", types.Some("second"))
	same("set again", sent(noParams), types.Some("second"))
	http.SetHeader("x-test", absent)
	same("removed", sent(noParams), absent)
}

func redirects() {
	atMost := func(redirects uint32) types.Option[http.Params] {
		return with(http.Params{MaxRedirects: types.Some(redirects)})
	}

	followed := http.Get("/redirect/3", noParams)
	same("three redirects", followed.Status(), 200)
	holds("the URL is the last one", strings.HasSuffix(followed.Url(), "/redirect/0"))

	relative := http.Get("/redirect-relative", noParams)
	same("a relative redirect", relative.Status(), 200)
	holds("it leads to /echo", strings.HasSuffix(relative.Url(), "/echo"))

	first := http.Get("/redirect/3", atMost(0))
	same("not followed", first.Status(), 302)
	same("its target", first.Header("location"), types.Some("/redirect/2"))
	holds("a redirect is a success", first.Ok())
	holds("the URL is the first one", strings.HasSuffix(first.Url(), "/redirect/3"))

	same("exactly as many", http.Get("/redirect/3", atMost(3)).Status(), 200)
	failed("one too many", http.Get("/redirect/3", atMost(2)), http.ErrorKind_TooManyRedirects)
	same("ten", http.Get("/redirect/10", noParams).Status(), 200)
	failed("eleven", http.Get("/redirect/11", noParams), http.ErrorKind_TooManyRedirects)
}

func timeout() {
	start := timing.NowMs()
	late := http.Get("/delay/5000", with(http.Params{TimeoutMs: types.Some(100.0)}))
	took := timing.NowMs() - start
	failed("a late answer", late, http.ErrorKind_Timeout)
	holds(fmt.Sprintf("%v ms is about 100", took), 95 <= took && took < 3_000)
	holds("so is the duration", 95 <= late.DurationMs() && late.DurationMs() < 3_000)

	inTime := http.Get("/delay/50", with(http.Params{TimeoutMs: types.Some(10_000.0)}))
	same("in time", inTime.Status(), 200)
}

func refused() {
	response := http.Get(needed("REFUSED_URL"), noParams)
	failed("a port on which nobody listens", response, http.ErrorKind_Connect)
}

// Ten requests of 100 ms each take about 100 ms together.
func batch() {
	var requests []http.Request
	for n := range 10 {
		requests = append(requests, request("GET", fmt.Sprintf("/delay/100?n=%d", n)))
	}
	start := timing.NowMs()
	responses := http.Batch(requests)
	took := timing.NowMs() - start
	same("the number of responses", len(responses), 10)
	for n, response := range responses {
		same("the status", response.Status(), 200)
		holds("the order is kept", strings.HasSuffix(response.Url(), fmt.Sprintf("?n=%d", n)))
		duration := response.DurationMs()
		holds(fmt.Sprintf("%v ms each", duration), 99 <= duration && duration < 500)
	}
	holds(fmt.Sprintf("%v ms for all", took), 99 <= took && took < 500)
}

// request has nothing but a method and a URL.
func request(method, url string) http.Request {
	return http.Request{Method: method, Url: url}
}

// echoed is a string in what /echo answered.
func echoed(response *http.Response, pointer string) string {
	json, found := response.Json(pointer).Get()
	if !found {
		panic(failure(fmt.Sprintf("no %s in %q", pointer, response.Text())))
	}
	text, isString := strings.CutPrefix(json, `"`)
	holds(pointer+" is "+json, isString && strings.HasSuffix(text, `"`))
	// What the cases send has nothing that would have to be escaped but quotes.
	return strings.ReplaceAll(strings.TrimSuffix(text, `"`), `\"`, `"`)
}

// ifEchoed is the same where it may be missing.
func ifEchoed(response *http.Response, pointer string) types.Option[string] {
	var text string
	if outcome(func() { text = echoed(response, pointer) }) != nil {
		return absent
	}
	return types.Some(text)
}

// failed ends the case unless a request failed in the expected way, as data.
func failed(what string, response *http.Response, kind http.ErrorKind) {
	err, found := response.Error().Get()
	if !found {
		panic(failure(what + ": no error"))
	}
	same(what, err.Kind, kind)
	holds("an error has a message", err.Message != "")
	same("the status", response.Status(), 0)
	holds("it is no success", !response.Ok())
	same("the headers", len(response.Headers()), 0)
	same("the body", len(response.Body()), 0)
	same("the text", response.Text(), "")
	same("the JSON", response.Json(""), absent)
}
