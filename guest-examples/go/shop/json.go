package main

import (
	"encoding/json"
	"fmt"

	"squall/imports/http"
	"squall/types"
)

var noParams = types.None[http.Params]()

func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func jsonBody(value any) types.Option[http.Body] {
	return types.Some(http.MakeBodyJson(encode(value)))
}

// decode reads the value at a JSON Pointer, and tells whether there is one of that type.
func decode(response *http.Response, pointer string, value any) bool {
	text, found := response.Json(pointer).Get()
	return found && json.Unmarshal([]byte(text), value) == nil
}

var errorKinds = [...]string{
	http.ErrorKind_InvalidRequest:   "InvalidRequest",
	http.ErrorKind_Dns:              "Dns",
	http.ErrorKind_Connect:          "Connect",
	http.ErrorKind_Tls:              "Tls",
	http.ErrorKind_Timeout:          "Timeout",
	http.ErrorKind_Closed:           "Closed",
	http.ErrorKind_TooManyRedirects: "TooManyRedirects",
	http.ErrorKind_Other:            "Other",
}

// outcome says what came of a request, in words that are the same for the same failure.
func outcome(response *http.Response) string {
	if err, failed := response.Error().Get(); failed {
		return fmt.Sprintf("no response, %s", errorKinds[err.Kind])
	}
	return fmt.Sprintf("status %d", response.Status())
}
