package main

import (
	"fmt"
	"strings"

	"squall/imports/execution"
	"squall/imports/http"
	"squall/imports/metrics"
	"squall/imports/random"
	"squall/imports/timing"
	"squall/types"
)

// item is something in the basket.
type item struct {
	id    int32
	price float64
}

func iterate() error {
	arrive()
	timing.SleepBetweenMs(5, 20)

	var basket []item
	for range random.Between(1, 3) {
		picked, err := pickItem()
		if err != nil {
			return err
		}
		basket = append(basket, picked)
		timing.SleepBetweenMs(5, 20)
	}
	metrics.GaugeSet("basket_size", float64(len(basket)))

	// Two of three customers buy what they have picked.
	buys := random.Uniform() < 2.0/3.0
	metrics.RateAdd("customers_who_buy", buys)
	if buys {
		checkOut(basket)
	}
	return nil
}

// arrive opens the front page and what belongs to it, as a browser would.
func arrive() {
	page := frontPage.Send()
	metrics.Check("the front page is there", page.Ok())

	var assets []http.Request
	for _, url := range []string{"/static/a.css", "/static/b.js"} {
		assets = append(assets, http.Request{
			Method: "GET",
			Url:    url,
			Params: types.Some(http.Params{
				Tags:        types.Some([]types.Tuple2[string, string]{{F0: "kind", F1: "asset"}}),
				DiscardBody: types.Some(true),
			}),
		})
	}
	complete := true
	for _, asset := range http.Batch(assets) {
		complete = complete && asset.Ok()
	}
	metrics.Check("the page is complete", complete)
}

// pickItem looks at some item and puts it into the basket.
func pickItem() (item, error) {
	picked := item{id: random.Between(1, place.Items)}
	// Without a name, every item would be an endpoint of its own.
	named := types.Some(http.Params{Name: types.Some("/item/[id]")})
	page := http.Get(fmt.Sprintf("/item/%d", picked.id), named)

	var shown int32
	metrics.Check("the page shows the item", decode(page, "/id", &shown) && shown == picked.id)
	if !decode(page, "/price", &picked.price) {
		return item{}, fmt.Errorf("item %d has no price: %s", picked.id, outcome(page))
	}

	added := http.Post("/basket", jsonBody(map[string]int32{"item": picked.id, "quantity": 1}), noParams)
	metrics.Check("the item is in the basket", added.Ok())
	return picked, nil
}

// checkOut pays for the basket: two requests that count as one step.
func checkOut(basket []item) {
	execution.SetTag("step", types.Some("checkout"))
	defer execution.SetTag("step", types.None[string]())
	checkout := timing.MakeTransaction("checkout")

	review := http.Get("/", noParams)
	var ids []int32
	var value float64
	for _, item := range basket {
		ids = append(ids, item.id)
		value += item.price
	}
	order := http.Post("/checkout", jsonBody(map[string][]int32{"basket": ids}),
		types.Some(http.Params{CatchResponse: types.Some(true)}))
	// The status alone does not tell: this shop says 200 to a refused card, too,
	// and 409 to an order that it already has.
	switch status := order.Status(); {
	case status/100 == 2 && strings.Contains(order.Text(), "refused"):
		order.Failure("the card was refused")
	case status/100 == 2 || status == 409:
		order.Success()
	default:
		order.Failure("the order failed: " + outcome(order))
	}

	if !review.Ok() || !order.Ok() {
		checkout.FailMs("the order did not go through")
		return
	}
	durationMs := checkout.FinishMs()
	metrics.CounterAdd("revenue", value)
	metrics.TrendAdd("checkout_per_item_ms", durationMs/float64(len(basket)))
	orders++
}
