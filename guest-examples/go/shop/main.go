// A customer of a web shop: logs in, looks around, fills a basket and checks out.
// It uses nearly all that a script may use.
//
//	the shop's endpoint                             answer
//	GET /, GET /static/a.css, GET /static/b.js      anything
//	GET /item/{id}, for ids from 1 to ITEMS         {"id": 7, "name": "Teapot", "price": 12.5}
//	POST /login with {"user": …}                    {"token": …}
//	POST /basket with {"item": …, "quantity": …}    any success
//	POST /checkout with {"basket": …}               any success
//
// The environment may set ITEMS, how many items the shop has (100).
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	_ "squall/exports"
	"squall/exports/lifecycle"
	"squall/exports/options"
	"squall/exports/user"
	"squall/imports/execution"
	"squall/imports/http"
	"squall/imports/log"
	"squall/types"
)

func init() {
	options.Defaults = defaults
	lifecycle.Setup = func() types.Result[string, string] { return types.Of(setup()) }
	lifecycle.OnStart = func(data string) types.Result[types.Unit, string] { return types.OfError(onStart(data)) }
	lifecycle.OnStop = onStop
	lifecycle.Teardown = teardown
	user.Iterate = func() types.Result[types.Unit, string] { return types.OfError(iterate()) }
}

func main() {} // The host calls the functions that are set above.

// shop is what setup finds out, once for all users.
type shop struct {
	Items int32 `json:"items"`
}

// One instance of the script plays one user, so what it keeps is that user's own.
var (
	place     shop
	orders    int
	frontPage *http.PreparedRequest
)

func defaults() string {
	return encode(map[string]any{
		"vus":        5,
		"duration":   "10s",
		"thresholds": []string{"http_req_failed: rate < 0.05", "checks: rate > 0.95"},
	})
}

// setup makes sure that the shop is open, before a single user comes.
func setup() (string, error) {
	items := 100
	if text, found := os.LookupEnv("ITEMS"); found {
		number, err := strconv.ParseInt(text, 10, 32)
		if err != nil {
			return "", fmt.Errorf("`ITEMS` is no number: %s", text)
		}
		items = int(number)
	}
	if page := http.Get("/", noParams); !page.Ok() {
		return "", fmt.Errorf("the shop is closed: %s", outcome(page))
	}
	return encode(shop{Items: int32(items)}), nil
}

func onStart(data string) error {
	if err := json.Unmarshal([]byte(data), &place); err != nil {
		return err
	}
	if place.Items == 0 {
		return errors.New("setup did not say how many items there are")
	}
	frontPage = http.MakePreparedRequest(http.Request{Method: "GET", Url: "/"})

	name := fmt.Sprintf("user-%d", execution.VuId())
	login := http.Post("/login", jsonBody(map[string]string{"user": name}), noParams)
	var token string
	if !decode(login, "/token", &token) {
		return fmt.Errorf("%s cannot log in: %s", name, outcome(login))
	}
	http.SetHeader("authorization", types.Some("Bearer "+token))
	return nil
}

func onStop() {
	log.Write(log.Level_Debug, fmt.Sprintf("user %d made %d orders", execution.VuId(), orders))
}

func teardown(string) {
	log.Write(log.Level_Info, "the shop closes")
}
