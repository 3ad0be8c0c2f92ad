/* Invalid arguments are refused with a message that says what is wrong. */
#include "ops.h"
#include "suite.h"

#include <math.h>
#include <string.h>

enum { H = 3, N = 7, I = 2, T = 4 };

/* One valid operand of each kind, from which invalid ones are derived. */
static tally_tensor matrix, wide, tall, square, gates, vector, row, ints, one, cube;

static tally_tensor made(tally_dtype dtype, int ndim, size_t a, size_t b, size_t c) {
    tally_tensor t;
    suite_ok(tally_tensor_new(the.device, dtype, ndim, (size_t[]){a, b, c}, &t));
    return t;
}

static int setup(void **state) {
    (void)state;
    suite_case("tensors for wrong arguments");
    matrix = made(TALLY_F32, 2, H, N, 0);
    wide = made(TALLY_F32, 2, H, N + 1, 0);
    tall = made(TALLY_F32, 2, H + 1, N, 0);
    square = made(TALLY_F32, 2, H, H, 0);
    gates = made(TALLY_F32, 2, 4 * H, N, 0);
    vector = made(TALLY_F32, 1, H, 0, 0);
    row = made(TALLY_F32, 1, N, 0, 0);
    ints = made(TALLY_I32, 1, N, 0, 0);
    one = made(TALLY_I32, 1, 1, 0, 0);
    cube = made(TALLY_F32, 3, I, T, N);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    tally_tensor *all[] = {&matrix, &wide, &tall, &square, &gates, &vector, &row, &ints, &one, &cube};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        tally_tensor_free(all[i]);
    return 0;
}

/* Expects a status and a text that contains each of the words, whose list ends with NULL. */
static void refused(tally_status status, tally_status want, const char *operation, const char *word,
                    const char *other) {
    const char *words[] = {operation, word, other};
    suite_case("%s, refused for %s", operation, word ? word : "a reason");
    if (status != want)
        suite_fail("status %d, not %d", (int)status, (int)want);
    for (size_t i = 0; i < 3; i++)
        if (words[i] && !strstr(tally_error_text(), words[i]))
            suite_fail("\"%s\" does not say \"%s\"", tally_error_text(), words[i]);
}

static void wrong_shapes(void **state) {
    (void)state;
    const tally_tensor *m = &matrix;
    refused(tally_gemm(false, false, 1, &square, &tall, 0, m), TALLY_USAGE, "tally_gemm", "[4, 7]", "[3, 7]");
    refused(tally_gemm(false, true, 1, &square, m, 0, m), TALLY_USAGE, "tally_gemm", "[3, 7]", "[7, 3]");
    refused(tally_gemm(true, false, 1, m, m, 0, m), TALLY_USAGE, "tally_gemm", "[3, 7]", NULL);
    refused(tally_gemm(false, false, 1, &vector, m, 0, m), TALLY_USAGE, "tally_gemm", "[3]", NULL);
    refused(tally_gemm(false, false, 1, &cube, m, 0, m), TALLY_USAGE, "tally_gemm", "[2, 4, 7]", NULL);
    refused(tally_bias(&row, m), TALLY_USAGE, "tally_bias", "[7]", "[3]");
    refused(tally_bias(&vector, &vector), TALLY_USAGE, "tally_bias", "[3]", NULL);
    refused(tally_reduce(m, 0, &row), TALLY_USAGE, "tally_reduce", "[7]", "[3]");
    refused(tally_add(m, &wide), TALLY_USAGE, "tally_add", "[3, 8]", "[3, 7]");
    refused(tally_add(m, &vector), TALLY_USAGE, "tally_add", "[3]", "[3, 7]");
    refused(tally_copy(m, &tall), TALLY_USAGE, "tally_copy", "[4, 7]", "[3, 7]");
    refused(tally_cell_forward(TALLY_LSTM, m, m, m, m, m), TALLY_USAGE, "tally_cell_forward", "[3, 7]", "[12, 7]");
    refused(tally_cell_forward(TALLY_LSTM, &gates, &wide, m, m, m), TALLY_USAGE, "tally_cell_forward", "previous",
            "[3, 8]");
    refused(tally_cell_forward(TALLY_LSTM, &gates, m, m, &tall, m), TALLY_USAGE, "tally_cell_forward", "tanh_c",
            "[4, 7]");
    refused(tally_cell_backward(TALLY_LSTM, &gates, m, m, &tall, m), TALLY_USAGE, "tally_cell_backward", "[12, 7]",
            "[16, 7]");
    refused(tally_cell_backward(TALLY_LSTM, &gates, m, m, m, &wide), TALLY_USAGE, "tally_cell_backward", "dc",
            "[3, 8]");
    refused(tally_softmax_loss(m, &one, m, &row), TALLY_USAGE, "tally_softmax_loss", "labels", "[1]");
    refused(tally_softmax_loss(m, &ints, &wide, &row), TALLY_USAGE, "tally_softmax_loss", "probabilities", "[3, 8]");
    refused(tally_softmax_loss(m, &ints, m, &vector), TALLY_USAGE, "tally_softmax_loss", "loss", "[3]");
    refused(tally_softmax_loss_backward(m, &ints, &tall), TALLY_USAGE, "tally_softmax_loss_backward", "[4, 7]",
            "[3, 7]");
}

/* An operand that the cell lacks must not be given; one that it has must be. */
static void wrong_parts_of_cells(void **state) {
    (void)state;
    static const char forward[] = "tally_cell_forward", backward[] = "tally_cell_backward";
    const tally_tensor *m = &matrix, *g = &gates;
    refused(tally_cell_forward(TALLY_LSTM, g, NULL, m, m, m), TALLY_USAGE, forward, "previous", NULL);
    refused(tally_cell_forward(TALLY_LSTM, g, m, NULL, m, m), TALLY_USAGE, forward, "no c given", NULL);
    refused(tally_cell_forward(TALLY_LSTM, g, m, m, NULL, m), TALLY_USAGE, forward, "tanh_c", NULL);
    refused(tally_cell_backward(TALLY_LSTM, g, NULL, m, m, m), TALLY_USAGE, backward, "previous", NULL);
    refused(tally_cell_backward(TALLY_LSTM, g, m, NULL, m, m), TALLY_USAGE, backward, "tanh_c", NULL);
    refused(tally_cell_backward(TALLY_LSTM, g, m, m, m, NULL), TALLY_USAGE, backward, "dc", NULL);

    refused(tally_cell_forward(TALLY_GRU, g, NULL, NULL, NULL, m), TALLY_USAGE, forward, "previous", NULL);
    refused(tally_cell_forward(TALLY_GRU, g, m, m, NULL, m), TALLY_USAGE, forward, "c given, which gru has not", NULL);
    refused(tally_cell_forward(TALLY_GRU, g, m, NULL, m, m), TALLY_USAGE, forward, "tanh_c given, which gru has not",
            NULL);
    refused(tally_cell_forward(TALLY_GRU, g, &wide, NULL, NULL, m), TALLY_USAGE, forward, "previous", "[3, 8]");
    refused(tally_cell_forward(TALLY_GRU, m, m, NULL, NULL, m), TALLY_USAGE, forward, "[3, 7]", "[12, 7]");
    refused(tally_cell_backward(TALLY_GRU, g, NULL, NULL, m, NULL), TALLY_USAGE, backward, "previous", NULL);
    refused(tally_cell_backward(TALLY_GRU, g, m, m, m, NULL), TALLY_USAGE, backward, "tanh_c given, which gru has not",
            NULL);
    refused(tally_cell_backward(TALLY_GRU, g, m, NULL, m, m), TALLY_USAGE, backward, "dc given, which gru has not",
            NULL);

    refused(tally_cell_forward(TALLY_RNN, m, m, NULL, NULL, m), TALLY_USAGE, forward,
            "previous given, which rnn has not", NULL);
    refused(tally_cell_forward(TALLY_RNN, m, NULL, m, NULL, m), TALLY_USAGE, forward, "c given, which rnn has not",
            NULL);
    refused(tally_cell_forward(TALLY_RNN, g, NULL, NULL, NULL, m), TALLY_USAGE, forward, "[12, 7]", "[3, 7]");
    refused(tally_cell_backward(TALLY_RNN, m, m, NULL, m, NULL), TALLY_USAGE, backward,
            "previous given, which rnn has not", NULL);
    refused(tally_cell_backward(TALLY_RNN, m, NULL, NULL, m, m), TALLY_USAGE, backward, "dc given, which rnn has not",
            NULL);
    refused(tally_cell_backward(TALLY_RNN, m, NULL, NULL, NULL, NULL), TALLY_USAGE, backward, "dh", NULL);
}

static void unknown_cells(void **state) {
    (void)state;
    const tally_tensor *m = &matrix;
    tally_layer_state s;
    refused(tally_cell_forward(TALLY_CELLS, &gates, m, m, m, m), TALLY_USAGE, "tally_cell_forward", "no cell 4", NULL);
    refused(tally_cell_backward((tally_cell)77, &gates, m, m, m, m), TALLY_USAGE, "tally_cell_backward", "no cell 77",
            NULL);
    refused(tally_layer_state_new(the.device, TALLY_CELLS, I, H, T, N, &s), TALLY_USAGE, "tally_layer_state_new",
            "cell", NULL);
    suite_ok(tally_layer_state_new(the.device, TALLY_LSTM, I, H, T, N, &s));
    const tally_layer_weights weights = {square, square, vector, TALLY_CELLS};
    refused(tally_layer_forward(&weights, &cube, &s), TALLY_USAGE, "tally_layer_forward", "no cell 4", NULL);
    refused(tally_layer_backward(&weights, &cube, NULL, &s, &weights, NULL), TALLY_USAGE, "tally_layer_backward",
            "no cell 4", NULL);
    tally_layer_state_free(&s);

    suite_case("names of cells");
    static const char *const names[] = {"lstm", "gru", "rnn", "rnn-relu"};
    for (int cell = 0; cell < TALLY_CELLS; cell++)
        assert_string_equal(tally_cell_name((tally_cell)cell), names[cell]);
    assert_string_equal(tally_cell_name(TALLY_CELLS), "unknown");
    static const size_t rows[TALLY_CELLS][2] = {{4, 4}, {4, 3}, {1, 1}, {1, 1}};
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        assert_int_equal(tally_cell_gates((tally_cell)cell), rows[cell][0]);
        assert_int_equal(tally_cell_weights((tally_cell)cell), rows[cell][1]);
    }
}

static void wrong_types(void **state) {
    (void)state;
    refused(tally_add(&ints, &ints), TALLY_USAGE, "tally_add", "int32", NULL);
    refused(tally_copy(&ints, &row), TALLY_USAGE, "tally_copy", "int32", "float32");
    refused(tally_fill(&ints, 0), TALLY_USAGE, "tally_fill", "int32", "float32");
    refused(tally_softmax_loss(&matrix, &row, &matrix, &row), TALLY_USAGE, "tally_softmax_loss", "labels", "float32");
    refused(tally_softmax_loss(&matrix, &ints, &matrix, &ints), TALLY_USAGE, "tally_softmax_loss", "loss", "int32");
}

static void nothing_given(void **state) {
    (void)state;
    const tally_tensor none = {0};
    refused(tally_gemm(false, false, 1, NULL, &matrix, 0, &matrix), TALLY_USAGE, "tally_gemm", "A", NULL);
    refused(tally_gemm(false, false, 1, &square, NULL, 0, &matrix), TALLY_USAGE, "tally_gemm", "B", NULL);
    refused(tally_gemm(false, false, 1, &square, &matrix, 0, NULL), TALLY_USAGE, "tally_gemm", "C", NULL);
    refused(tally_gemm(false, false, 1, &none, &matrix, 0, &matrix), TALLY_USAGE, "tally_gemm", "A", NULL);
    refused(tally_bias(NULL, &matrix), TALLY_USAGE, "tally_bias", "bias", NULL);
    refused(tally_bias(&vector, NULL), TALLY_USAGE, "tally_bias", "Y", NULL);
    refused(tally_reduce(NULL, 0, &vector), TALLY_USAGE, "tally_reduce", "X", NULL);
    refused(tally_reduce(&matrix, 0, NULL), TALLY_USAGE, "tally_reduce", "out", NULL);
    refused(tally_add(NULL, &matrix), TALLY_USAGE, "tally_add", "source", NULL);
    refused(tally_add(&matrix, NULL), TALLY_USAGE, "tally_add", "destination", NULL);
    refused(tally_copy(&none, &matrix), TALLY_USAGE, "tally_copy", "source", NULL);
    refused(tally_fill(NULL, 0), TALLY_USAGE, "tally_fill", NULL, NULL);
    refused(tally_cell_forward(TALLY_LSTM, &gates, &matrix, &matrix, &matrix, NULL), TALLY_USAGE, "tally_cell_forward",
            "h", NULL);
    refused(tally_cell_backward(TALLY_LSTM, NULL, &matrix, &matrix, &matrix, &matrix), TALLY_USAGE,
            "tally_cell_backward", "gates", NULL);
    refused(tally_softmax_loss(&matrix, NULL, &matrix, &row), TALLY_USAGE, "tally_softmax_loss", "labels", NULL);
    refused(tally_softmax_loss_backward(NULL, &ints, &matrix), TALLY_USAGE, "tally_softmax_loss_backward",
            "probabilities", NULL);
    refused(tally_optimizer_step(NULL, 1, &row, &row, &row, &one), TALLY_USAGE, "tally_optimizer_step", "options",
            NULL);
    refused(tally_layer_forward(NULL, &cube, NULL), TALLY_USAGE, "tally_layer_forward", NULL, NULL);
    refused(tally_layer_backward(NULL, &cube, NULL, NULL, NULL, NULL), TALLY_USAGE, "tally_layer_backward", NULL, NULL);
    refused(tally_tensor_write(NULL, &one, 1), TALLY_USAGE, "tally_tensor_write", NULL, NULL);
    refused(tally_tensor_read(&one, NULL, 1), TALLY_USAGE, "tally_tensor_read", NULL, NULL);
}

static void two_devices(void **state) {
    (void)state;
    tally_tensor elsewhere;
    suite_ok(tally_tensor_new(the.peer, TALLY_F32, 2, (size_t[]){H, N}, &elsewhere));
    refused(tally_gemm(false, false, 1, &square, &elsewhere, 0, &matrix), TALLY_USAGE, "tally_gemm", "B is on",
            tally_device_get_info(the.peer)->name);
    refused(tally_add(&elsewhere, &matrix), TALLY_USAGE, "tally_add", " on ", NULL);
    refused(tally_copy(&matrix, &elsewhere), TALLY_USAGE, "tally_copy", " on ", NULL);
    tally_tensor_free(&elsewhere);
    tally_layer_state own, other;
    suite_ok(tally_layer_state_new(the.device, TALLY_LSTM, I, H, T, N, &own));
    suite_ok(tally_layer_state_new(the.peer, TALLY_LSTM, I, H, T, N, &other));
    tally_tensor w_ih = made(TALLY_F32, 2, 4 * H, I, 0), w_hh = made(TALLY_F32, 2, 4 * H, H, 0);
    tally_tensor bias = made(TALLY_F32, 1, 4 * H, 0, 0);
    const tally_layer_weights weights = {w_ih, w_hh, bias, TALLY_LSTM};
    tally_layer_state mixed = own;
    mixed.scratch = other.scratch;
    refused(tally_layer_forward(&weights, &cube, &mixed), TALLY_USAGE, "tally_layer_forward", "scratch is on", NULL);
    tally_tensor *all[] = {&w_ih, &w_hh, &bias};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        tally_tensor_free(all[i]);
    tally_layer_state_free(&own);
    tally_layer_state_free(&other);
}

static void wrong_optimizers(void **state) {
    (void)state;
    const char *name = "tally_optimizer_step";
    const tally_optimizer_options good = tally_optimizer_defaults(TALLY_ADAM);
    const struct {
        tally_optimizer_options options;
        const char *word;
    } bad[] = {
        {{TALLY_OPTIMIZERS, .rate = 1e-3}, "no optimizer"},
        {{(tally_optimizer)-1, .rate = 1e-3}, "no optimizer -1"},
        {{TALLY_ADAM, .rate = (double)INFINITY}, "adam: learning_rate is inf, not a number from 0 to 3.4"},
        {{TALLY_ADAM, .rate = -1e-3}, "adam: learning_rate is -0.001"},
        {{TALLY_ADAM, .rate = 1e-3, .beta1 = 1}, "beta1 is 1, not a number from 0 to below 1"},
        {{TALLY_ADAM, .rate = 1e-3, .beta1 = (double)NAN}, "beta1 is nan"},
        {{TALLY_ADAMW, .rate = 1e-3, .beta2 = -0.5}, "adamw: beta2 is -0.5"},
        {{TALLY_ADAM, .rate = 1e-3, .epsilon = -1}, "epsilon is -1"},
        {{TALLY_ADAM, .rate = 1e-3, .epsilon = (double)INFINITY}, "epsilon is inf"},
        {{TALLY_ADAM, .rate = 1e-3, .weight_decay = -0.1}, "weight_decay is -0.1"},
        {{TALLY_ADAM, .rate = 1e-3, .momentum = 0.9}, "adam takes no momentum, which is 0.9"},
        {{TALLY_ADAGRAD, .rate = 1e-3, .nesterov = true}, "adagrad takes no nesterov, which is true"},
        {{TALLY_SGD, .rate = 1e-3, .momentum = 1}, "sgd: momentum is 1"},
        {{TALLY_SGD, .rate = 1e-3, .nesterov = true}, "sgd: nesterov needs a momentum above 0"},
        {{TALLY_RMSPROP, .rate = 1e-3, .alpha = 1}, "rmsprop: alpha is 1"},
        {{TALLY_SGD, .rate = 1e-3, .epsilon = 1e-8}, "sgd takes no epsilon"},
    };
    const tally_tensor states[] = {row, row}, other[] = {row, vector};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(tally_optimizer_step(&bad[i].options, 1, &row, &row, states, &one), TALLY_USAGE, name, bad[i].word,
                NULL);
    refused(tally_optimizer_step(&good, 0, &row, &row, states, &one), TALLY_USAGE, name, "from 1", NULL);
    refused(tally_optimizer_step(&good, 1, &vector, &row, states, &one), TALLY_USAGE, name, "[3]", "[7]");
    refused(tally_optimizer_step(&good, 1, &row, &row, other, &one), TALLY_USAGE, name, "v is [3], not [7]", NULL);
    refused(tally_optimizer_step(&good, 1, &row, &row, NULL, &one), TALLY_USAGE, name, "m", NULL);
    refused(tally_optimizer_step(&good, 1, &row, &row, states, &ints), TALLY_USAGE, name, "faults", "[7]");
    tally_tensor column;
    suite_ok(tally_tensor_select(&matrix, 1, 2, &column));
    refused(tally_optimizer_step(&good, 1, &vector, &column, states, &one), TALLY_USAGE, name, "weights", "contiguous");
}

static void wrong_sequences(void **state) {
    (void)state;
    tally_layer_state lstm;
    suite_ok(tally_layer_state_new(the.device, TALLY_LSTM, I, H, T, N, &lstm));
    tally_tensor w_ih = made(TALLY_F32, 2, 4 * H, I, 0), w_hh = made(TALLY_F32, 2, 4 * H, H, 0);
    tally_tensor bias = made(TALLY_F32, 1, 4 * H, 0, 0), other_x = made(TALLY_F32, 3, I + 1, T, N);
    tally_tensor longer = made(TALLY_F32, 3, I, T + 1, N), dy = made(TALLY_F32, 3, H, T, N), transposed;
    const tally_layer_weights good = {w_ih, w_hh, bias, TALLY_LSTM};
    tally_layer_weights bad = good;
    bad.w_hh = w_ih;
    refused(tally_layer_forward(&bad, &cube, &lstm), TALLY_USAGE, "tally_layer_forward", "w_hh is [12, 2]", "[12, 3]");
    refused(tally_layer_forward(&good, &other_x, &lstm), TALLY_USAGE, "tally_layer_forward", "[12, 2]", "[12, 3]");
    refused(tally_layer_forward(&good, &longer, &lstm), TALLY_USAGE, "tally_layer_forward", "[3, 5, 7]", "[3, 6, 7]");
    refused(tally_layer_backward(&good, &cube, &cube, &lstm, &good, NULL), TALLY_USAGE, "tally_layer_backward", "dy",
            "[2, 4, 7]");
    refused(tally_layer_backward(&good, &cube, &dy, &lstm, &good, &dy), TALLY_USAGE, "tally_layer_backward", "dx",
            "[3, 4, 7]");
    refused(tally_layer_backward(&good, &cube, NULL, &lstm, &bad, NULL), TALLY_USAGE, "tally_layer_backward",
            "w_hh gradient", "[12, 2]");
    refused(tally_layer_backward(&good, &cube, NULL, &lstm, NULL, NULL), TALLY_USAGE, "tally_layer_backward",
            "gradients", NULL);
    tally_tensor_free(&longer);
    longer = made(TALLY_F32, 3, I, N, T);
    suite_ok(tally_tensor_transpose(&longer, 1, 2, &transposed));
    refused(tally_layer_forward(&good, &transposed, &lstm), TALLY_USAGE, "tally_layer_forward", "x is", "contiguous");
    refused(tally_layer_backward(&good, &cube, NULL, &lstm, &good, &transposed), TALLY_USAGE, "tally_layer_backward",
            "dx is", "contiguous");
    tally_tensor_free(&dy);
    dy = made(TALLY_F32, 3, H, N, T);
    suite_ok(tally_tensor_transpose(&dy, 1, 2, &transposed));
    refused(tally_layer_backward(&good, &cube, &transposed, &lstm, &good, NULL), TALLY_USAGE, "tally_layer_backward",
            "dy is", "contiguous");

    tally_layer_state narrow;
    refused(tally_layer_state_narrow(&lstm, N + 1, &narrow), TALLY_USAGE, "tally_layer_state_narrow", "8", "7");
    refused(tally_layer_state_narrow(&lstm, 0, &narrow), TALLY_USAGE, "tally_layer_state_narrow", "0", NULL);
    tally_tensor *all[] = {&w_ih, &w_hh, &bias, &other_x, &longer, &dy};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        tally_tensor_free(all[i]);
    tally_layer_state_free(&lstm);
}

/* Weights with the rows of another cell; a state of another cell. */
static void wrong_rows_of_cells(void **state) {
    (void)state;
    static const char forward[] = "tally_layer_forward", backward[] = "tally_layer_backward";
    for (int number = TALLY_GRU; number < TALLY_CELLS; number++) {
        const tally_cell cell = (tally_cell)number;
        size_t w = tally_cell_weights(cell) * H, g = tally_cell_gates(cell) * H;
        tally_layer_state own, lstm;
        suite_ok(tally_layer_state_new(the.device, cell, I, H, T, N, &own));
        suite_ok(tally_layer_state_new(the.device, TALLY_LSTM, I, H, T, N, &lstm));
        tally_tensor w_ih = made(TALLY_F32, 2, w, I, 0), w_hh = made(TALLY_F32, 2, w, H, 0);
        tally_tensor bias = made(TALLY_F32, 1, g, 0, 0), more = made(TALLY_F32, 2, w + 1, I, 0);
        tally_tensor more_h = made(TALLY_F32, 2, w + 1, H, 0), less = made(TALLY_F32, 1, g - 1, 0, 0);
        const tally_layer_weights good = {w_ih, w_hh, bias, cell};
        tally_layer_weights bad = good;
        suite_case("%s, forward and backward", tally_cell_name(cell));
        suite_ok(tally_layer_forward(&good, &cube, &own));
        suite_ok(tally_layer_backward(&good, &cube, NULL, &own, &good, NULL));
        bad.w_ih = more;
        refused(tally_layer_forward(&bad, &cube, &own), TALLY_USAGE, forward, "w_ih is", NULL);
        refused(tally_layer_backward(&good, &cube, NULL, &own, &bad, NULL), TALLY_USAGE, backward, "w_ih gradient is",
                NULL);
        bad = good;
        bad.w_hh = more_h;
        refused(tally_layer_forward(&bad, &cube, &own), TALLY_USAGE, forward, "w_hh is", NULL);
        refused(tally_layer_backward(&good, &cube, NULL, &own, &bad, NULL), TALLY_USAGE, backward, "w_hh gradient is",
                NULL);
        bad = good;
        bad.bias = less;
        refused(tally_layer_forward(&bad, &cube, &own), TALLY_USAGE, forward, "bias is", NULL);
        refused(tally_layer_backward(&good, &cube, NULL, &own, &bad, NULL), TALLY_USAGE, backward, "bias gradient is",
                NULL);
        bad = good;
        bad.cell = TALLY_LSTM; /* the state lacks the LSTM's tensors */
        refused(tally_layer_forward(&bad, &cube, &own), TALLY_USAGE, forward, "state c", NULL);
        if (cell == TALLY_RNN)
            refused(tally_layer_forward(&good, &cube, &lstm), TALLY_USAGE, forward, "state gates is [12, 4, 7]",
                    "[3, 4, 7]");
        tally_tensor *all[] = {&w_ih, &w_hh, &bias, &more, &more_h, &less};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            tally_tensor_free(all[i]);
        tally_layer_state_free(&own);
        tally_layer_state_free(&lstm);
    }
}

static void wrong_tensors(void **state) {
    (void)state;
    tally_tensor t;
    tally_layer_state lstm;
    static const char make[] = "tally_tensor_new";
    refused(tally_tensor_new(the.device, TALLY_F32, 0, (size_t[]){1}, &t), TALLY_USAGE, make, "0 dimensions", NULL);
    refused(tally_tensor_new(the.device, TALLY_F32, 4, (size_t[]){1, 1, 1, 1}, &t), TALLY_USAGE, make, "4", NULL);
    refused(tally_tensor_new(the.device, TALLY_F32, 2, (size_t[]){3, 0}, &t), TALLY_USAGE, make, "dimension 1 is 0",
            NULL);
    refused(tally_tensor_new(the.device, (tally_dtype)9, 1, (size_t[]){1}, &t), TALLY_USAGE, make, "type 9", NULL);
    refused(tally_tensor_new(NULL, TALLY_F32, 1, (size_t[]){1}, &t), TALLY_USAGE, make, "device", NULL);
    refused(tally_tensor_new(the.device, TALLY_F32, 2, (size_t[]){SIZE_MAX, 2}, &t), TALLY_MEMORY, make, "size", NULL);
    refused(tally_tensor_new(the.device, TALLY_F32, 1, (size_t[]){SIZE_MAX / 2}, &t), TALLY_MEMORY, make, "do not fit",
            NULL);
    bool cpu = strcmp(tally_device_get_info(the.device)->backend, "cpu") == 0;
    tally_status full = cpu ? TALLY_MEMORY : TALLY_DEVICE; /* a valid size, but more memory than there is */
    refused(tally_tensor_new(the.device, TALLY_F32, 1, (size_t[]){(size_t)1 << 50}, &t), full, "4503599627370496", NULL,
            NULL);
    refused(tally_layer_state_new(the.device, TALLY_LSTM, SIZE_MAX, H, 1, 1, &lstm), TALLY_MEMORY,
            "tally_layer_state_new", "inputs", NULL);
    refused(tally_layer_state_new(the.device, TALLY_LSTM, 1, SIZE_MAX / 2, 1, 1, &lstm), TALLY_MEMORY,
            "tally_layer_state_new", NULL, NULL);
    refused(tally_layer_state_new(the.device, TALLY_LSTM, SIZE_MAX / 4 + 1, 16, 1, 1, &lstm), TALLY_MEMORY,
            "tally_layer_state_new", NULL, NULL);
    refused(tally_layer_state_new(the.device, TALLY_LSTM, 0, 1, 1, 1, &lstm), TALLY_USAGE, "tally_layer_state_new",
            "inputs", NULL);

    refused(tally_tensor_slice(&matrix, 2, 0, 1, &t), TALLY_USAGE, "tally_tensor_slice", "dimension 2", "[3, 7]");
    refused(tally_tensor_slice(&matrix, -1, 0, 1, &t), TALLY_USAGE, "tally_tensor_slice", "dimension -1", "[3, 7]");
    refused(tally_tensor_slice(&matrix, 1, 5, 3, &t), TALLY_USAGE, "tally_tensor_slice", "3 elements from 5", "[3, 7]");
    refused(tally_tensor_slice(&matrix, 1, 2, SIZE_MAX, &t), TALLY_USAGE, "tally_tensor_slice", "[3, 7]", NULL);
    refused(tally_tensor_slice(&matrix, 1, 2, 0, &t), TALLY_USAGE, "tally_tensor_slice", "0 elements", NULL);
    refused(tally_tensor_select(&matrix, 0, 3, &t), TALLY_USAGE, "tally_tensor_select", "3", "[3, 7]");
    refused(tally_tensor_select(&vector, 0, 0, &t), TALLY_USAGE, "tally_tensor_select", "[3]", NULL);
    refused(tally_tensor_transpose(&matrix, 0, 2, &t), TALLY_USAGE, "tally_tensor_transpose", "dimension 2", "[3, 7]");
    refused(tally_tensor_reshape(&matrix, 1, (size_t[]){22}, &t), TALLY_USAGE, "tally_tensor_reshape", "22", "[3, 7]");
    refused(tally_tensor_reshape(&matrix, 2, (size_t[]){SIZE_MAX, 3}, &t), TALLY_MEMORY, "tally_tensor_reshape", "size",
            NULL);
    float values[8];
    refused(tally_tensor_write(&row, values, 8), TALLY_USAGE, "tally_tensor_write", "8", "[7]");
    refused(tally_tensor_read(&row, values, 6), TALLY_USAGE, "tally_tensor_read", "6", "[7]");
}

static void wrong_devices(void **state) {
    (void)state;
    tally_device *device;
    refused(tally_device_open("no such thing", NULL, &device), TALLY_DEVICE, "no such thing", "cpu", NULL);
    assert_null(device);
    refused(tally_device_open("77:3", NULL, &device), TALLY_DEVICE, "77:3", "cpu", NULL);
    refused(tally_device_open("", NULL, &device), TALLY_DEVICE, "no device", "cpu", NULL);
    refused(tally_device_open(NULL, NULL, &device), TALLY_USAGE, "tally_device_open", NULL, NULL);
    double flops = 0.0;
    refused(tally_device_peak(NULL, &flops), TALLY_USAGE, "tally_device_peak", NULL, NULL);
    refused(tally_device_peak(the.device, NULL), TALLY_USAGE, "tally_device_peak", NULL, NULL);
    suite_case("the peak of a device that is there");
    suite_ok(tally_device_peak(the.device, &flops));
    assert_true(isfinite(flops) && flops > 0.0);
}

int ops_arguments(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_shapes),    cmocka_unit_test(wrong_parts_of_cells),
        cmocka_unit_test(unknown_cells),   cmocka_unit_test(wrong_rows_of_cells),
        cmocka_unit_test(wrong_types),     cmocka_unit_test(nothing_given),
        cmocka_unit_test(two_devices),     cmocka_unit_test(wrong_optimizers),
        cmocka_unit_test(wrong_sequences), cmocka_unit_test(wrong_tensors),
        cmocka_unit_test(wrong_devices),
    };
    return cmocka_run_group_tests_name("arguments", tests, setup, teardown);
}
