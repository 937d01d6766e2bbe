// Visits the front page, again and again.
package main

import (
	_ "squall/exports"
	"squall/exports/user"
	"squall/imports/http"
	"squall/imports/metrics"
	"squall/types"
)

func init() { user.Iterate = iterate }

func iterate() types.Result[types.Unit, string] {
	page := http.Get("/", types.None[http.Params]())
	metrics.Check("the front page is there", page.Status() == 200)
	return types.OfError(nil)
}

func main() {} // The host calls the functions that are set above.
