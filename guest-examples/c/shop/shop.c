// A customer of a web shop: logs in, looks around, fills a basket and checks out.
// It uses nearly all that a script may use.
//
//   the shop's endpoint                             answer
//   GET /, GET /static/a.css, GET /static/b.js      anything
//   GET /item/{id}, for ids from 1 to ITEMS         {"id": 7, "name": "Teapot", "price": 12.5}
//   POST /login with {"user": …}                    {"token": …}
//   POST /basket with {"item": …, "quantity": …}    any success
//   POST /checkout with {"basket": …}               any success
//
// The environment may set ITEMS, how many items the shop has (100).

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "squall.h"
#include "text.h"

// One instance of the script plays one user, so what it keeps is that user's own.
static int32_t items = 1;
static unsigned orders = 0;
static http_own_prepared_request_t front_page;

struct item {
    int32_t id;
    double price;
};

void exports_options_defaults(squall_string_t *options)
{
    squall_string_dup(options, "{\"vus\": 5, \"duration\": \"10s\", \"thresholds\": "
                               "[\"http_req_failed: rate < 0.05\", \"checks: rate > 0.95\"]}");
}

// Says what came of a request, in words that are the same for the same failure.
static const char *outcome(http_own_response_t response)
{
    static const char *const kinds[] = {"InvalidRequest", "Dns",    "Connect",          "Tls",
                                        "Timeout",        "Closed", "TooManyRedirects", "Other"};
    static char words[40];
    http_error_t error;
    if (http_method_response_error(http_borrow_response(response), &error)) {
        snprintf(words, sizeof words, "no response, %s", kinds[error.kind]);
        http_error_free(&error);
    } else {
        unsigned status = http_method_response_status(http_borrow_response(response));
        snprintf(words, sizeof words, "status %u", status);
    }
    return words;
}

static bool is_ok(http_own_response_t response)
{
    return http_method_response_ok(http_borrow_response(response));
}

// The number at a JSON Pointer, or `otherwise`.
static double number_at(http_own_response_t response, const char *pointer, double otherwise)
{
    squall_string_t json;
    if (!http_method_response_json(http_borrow_response(response), TEXT(pointer), &json))
        return otherwise;
    char *digits = c_string(&json), *end;
    double number = strtod(digits, &end);
    if (end == digits)
        number = otherwise;
    free(digits);
    squall_string_free(&json);
    return number;
}

static http_own_response_t post_json(const char *url, const char *json, http_params_t *params)
{
    http_body_t body = {.tag = HTTP_BODY_JSON, .val.json = text(json)};
    return http_post(TEXT(url), &body, params);
}

// Makes sure that the shop is open, before a single user comes.
bool exports_lifecycle_setup(squall_string_t *data, squall_string_t *err)
{
    long number = 100;
    const char *variable = getenv("ITEMS");
    if (variable) {
        char *end;
        number = strtol(variable, &end, 10);
        if (end == variable || *end)
            return fail(err, "`ITEMS` is no number: %s", variable);
    }
    http_own_response_t page = http_get(TEXT("/"), NULL);
    bool is_open = is_ok(page);
    if (is_open)
        format(data, "{\"items\": %ld}", number);
    else
        fail(err, "the shop is closed: %s", outcome(page));
    http_response_drop_own(page);
    return is_open;
}

bool exports_lifecycle_on_start(squall_string_t *data, squall_string_t *err)
{
    char *json = c_string(data);
    squall_string_free(data);
    bool is_known = sscanf(json, "{\"items\": %" SCNd32 "}", &items) == 1;
    free(json);
    if (!is_known)
        return fail(err, "setup did not say how many items there are");

    http_request_t request = {.method = text("GET"), .url = text("/")};
    front_page = http_constructor_prepared_request(&request);

    char body[40];
    snprintf(body, sizeof body, "{\"user\": \"user-%" PRIu32 "\"}", execution_vu_id());
    http_own_response_t login = post_json("/login", body, NULL);
    squall_string_t token;
    bool has_token = http_method_response_json(http_borrow_response(login), TEXT("/token"), &token)
                     && token.len > 2 && token.ptr[0] == '"';
    if (has_token) {
        // The token is a JSON string, and has nothing that would have to be escaped.
        squall_string_t bearer;
        format(&bearer, "Bearer %.*s", (int)token.len - 2, (char *)token.ptr + 1);
        http_set_header(TEXT("authorization"), &bearer);
        squall_string_free(&bearer);
        squall_string_free(&token);
    } else {
        fail(err, "user-%" PRIu32 " cannot log in: %s", execution_vu_id(), outcome(login));
    }
    http_response_drop_own(login);
    return has_token;
}

void exports_lifecycle_on_stop(void)
{
    squall_string_t message;
    format(&message, "user %" PRIu32 " made %u orders", execution_vu_id(), orders);
    log_write(LOG_LEVEL_DEBUG, &message);
    squall_string_free(&message);
}

void exports_lifecycle_teardown(squall_string_t *data)
{
    squall_string_free(data);
    log_write(LOG_LEVEL_INFO, TEXT("the shop closes"));
}

// Opens the front page and what belongs to it, as a browser would.
static void arrive(void)
{
    http_own_response_t page =
        http_method_prepared_request_send(http_borrow_prepared_request(front_page));
    metrics_check(TEXT("the front page is there"), is_ok(page));
    http_response_drop_own(page);

    squall_tuple2_string_string_t tag = {text("kind"), text("asset")};
    http_params_t params = {.tags = {true, {&tag, 1}}, .discard_body = {true, true}};
    http_request_t requests[] = {
        {.method = text("GET"), .url = text("/static/a.css"), .params = {true, params}},
        {.method = text("GET"), .url = text("/static/b.js"), .params = {true, params}},
    };
    http_list_own_response_t assets;
    http_batch(&(http_list_request_t){requests, 2}, &assets);
    bool is_complete = true;
    for (size_t i = 0; i < assets.len; i++)
        is_complete = is_complete && is_ok(assets.ptr[i]);
    metrics_check(TEXT("the page is complete"), is_complete);
    http_list_own_response_free(&assets);
}

// Looks at some item and puts it into the basket.
static bool pick_item(struct item *item, squall_string_t *err)
{
    item->id = random_between(1, items);
    char url[40], body[60];
    snprintf(url, sizeof url, "/item/%" PRId32, item->id);
    // Without a name, every item would be an endpoint of its own.
    http_params_t named = {.name = {true, text("/item/[id]")}};
    http_own_response_t page = http_get(TEXT(url), &named);
    metrics_check(TEXT("the page shows the item"), number_at(page, "/id", 0) == item->id);
    item->price = number_at(page, "/price", -1);
    if (item->price < 0)
        fail(err, "item %" PRId32 " has no price: %s", item->id, outcome(page));
    http_response_drop_own(page);
    if (item->price < 0)
        return false;

    snprintf(body, sizeof body, "{\"item\": %" PRId32 ", \"quantity\": 1}", item->id);
    http_own_response_t added = post_json("/basket", body, NULL);
    metrics_check(TEXT("the item is in the basket"), is_ok(added));
    http_response_drop_own(added);
    return true;
}

// The status alone does not tell: this shop says 200 to a refused card, too, and 409
// to an order that it already has.
static void judge(http_own_response_t order)
{
    uint16_t status = http_method_response_status(http_borrow_response(order));
    squall_string_t body, message;
    http_method_response_text(http_borrow_response(order), &body);
    char *words = c_string(&body);
    if (status / 100 == 2 && strstr(words, "refused")) {
        http_method_response_failure(http_borrow_response(order), TEXT("the card was refused"));
    } else if (status / 100 == 2 || status == 409) {
        http_method_response_success(http_borrow_response(order));
    } else {
        format(&message, "the order failed: %s", outcome(order));
        http_method_response_failure(http_borrow_response(order), &message);
        squall_string_free(&message);
    }
    free(words);
    squall_string_free(&body);
}

// Pays for the basket: two requests that count as one step.
static void check_out(const struct item *basket, int count)
{
    execution_set_tag(TEXT("step"), TEXT("checkout"));
    timing_own_transaction_t checkout = timing_constructor_transaction(TEXT("checkout"));

    http_own_response_t review = http_get(TEXT("/"), NULL);
    char body[80] = "{\"basket\": [";
    double value = 0;
    for (int i = 0; i < count; i++) {
        size_t end = strlen(body);
        snprintf(body + end, sizeof body - end, "%s%" PRId32, i ? ", " : "", basket[i].id);
        value += basket[i].price;
    }
    strcat(body, "]}");
    http_params_t caught = {.catch_response = {true, true}};
    http_own_response_t order = post_json("/checkout", body, &caught);
    judge(order);

    timing_borrow_transaction_t running = timing_borrow_transaction(checkout);
    if (is_ok(review) && is_ok(order)) {
        double duration_ms = timing_method_transaction_finish_ms(running);
        metrics_counter_add(TEXT("revenue"), value);
        metrics_trend_add(TEXT("checkout_per_item_ms"), duration_ms / count);
        orders++;
    } else {
        timing_method_transaction_fail_ms(running, TEXT("the order did not go through"));
    }
    timing_transaction_drop_own(checkout);
    http_response_drop_own(order);
    http_response_drop_own(review);
    execution_set_tag(TEXT("step"), NULL);
}

bool exports_user_iterate(squall_string_t *err)
{
    arrive();
    timing_sleep_between_ms(5, 20);

    struct item basket[3];
    int count = random_between(1, 3);
    for (int i = 0; i < count; i++) {
        if (!pick_item(&basket[i], err))
            return false;
        timing_sleep_between_ms(5, 20);
    }
    metrics_gauge_set(TEXT("basket_size"), count);

    // Two of three customers buy what they have picked.
    bool buys = random_uniform() < 2.0 / 3.0;
    metrics_rate_add(TEXT("customers_who_buy"), buys);
    if (buys)
        check_out(basket, count);
    return true;
}
