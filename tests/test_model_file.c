/* Model files: round trips, the fixtures written by PyTorch, and invalid files. With --write PATH LAYERS CELL,
 * writes the model that torch_reads_model.py checks. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <tally/tally.h>

#include "scratch.h"

#include "nn/model.h"
#include "store/safetensors.h"

enum {
    INPUTS = 3,
    HIDDEN = 5,
    CLASSES = 4,
    PARTS = 6,
    LAYER_PARTS = 4,
    BIAS_HH = 2,
    BIAS_IH = 3,
    MOST = 4 * HIDDEN * HIDDEN
};

static tally_device *device;

static void assert_error(const char *part) {
    if (!strstr(tally_error_text(), part))
        fail_msg("\"%s\" does not have \"%s\"", tally_error_text(), part);
}

/* Element e of parameter p: exact, and different for every element. */
static float number(size_t p, size_t e) {
    return (float)(p + 1) + (float)e / 64;
}

static bool is_bias_hh(const tally_model *model, size_t p) {
    return strstr(tally_model_parameter(model, p).name, "bias_hh") != NULL;
}

static tally_status numbered_model(tally_cell cell, size_t layers, tally_model **model) {
    const tally_model_config config = {INPUTS, HIDDEN, CLASSES, layers, cell};
    tally_status status = tally_model_new(device, &config, model);
    for (size_t p = 0; !status && p < tally_model_parameters(*model); p++) {
        float values[MOST];
        size_t count = tally_model_parameter(*model, p).elements;
        for (size_t e = 0; e < count; e++)
            values[e] = number(p, e);
        status = tally_model_set(*model, p, values, count); /* a bias_ih follows its bias_hh and replaces it */
    }
    if (!status)
        status = tally_model_set_note(*model, "task", "count");
    return status ? status : tally_model_set_note(*model, "letters", "\xc3\xa9\xc3\x9f");
}

static tally_status write_model(const char *path, tally_cell cell, size_t layers) {
    tally_model *model = NULL;
    tally_status status = numbered_model(cell, layers, &model);
    if (!status)
        status = tally_model_save(model, path);
    tally_model_free(model);
    if (status)
        fprintf(stderr, "%s\n", tally_error_text());
    return status;
}

/* TALLY_CELLS if no cell has this name. */
static tally_cell cell_of(const char *name) {
    int cell = 0;
    while (cell < TALLY_CELLS && strcmp(name, tally_cell_name((tally_cell)cell)) != 0)
        cell++;
    return (tally_cell)cell;
}

/* The values that were set are read back; of a bias_hh only those that are not part of the single bias. */
static void assert_numbered(const tally_model *model) {
    for (size_t p = 0; p < tally_model_parameters(model); p++) {
        float values[MOST];
        size_t count = tally_model_parameter(model, p).elements;
        size_t own = is_bias_hh(model, p) ? tally_model_get_config(model)->cell == TALLY_GRU ? 2 * HIDDEN : count : 0;
        assert_int_equal(tally_model_get(model, p, values, count), TALLY_OK);
        for (size_t e = 0; e < count; e++)
            assert_float_equal(values[e], (e < own ? 0.0f : number(p, e)), 0);
    }
}

static void round_trip(scratch *s, tally_cell cell, size_t layers) {
    const char *path = scratch_path(s, "model.safetensors");
    tally_model *model, *loaded;
    assert_int_equal(numbered_model(cell, layers, &model), TALLY_OK);
    assert_numbered(model);
    assert_int_equal(tally_model_parameters(model), 2 + LAYER_PARTS * layers);
    assert_int_equal(tally_model_save(model, path), TALLY_OK);
    if (tally_model_load(device, path, &loaded))
        fail_msg("%s", tally_error_text());
    assert_numbered(loaded);
    const tally_model_config *got = tally_model_get_config(loaded);
    assert_int_equal(got->inputs, INPUTS);
    assert_int_equal(got->hidden, HIDDEN);
    assert_int_equal(got->classes, CLASSES);
    assert_int_equal(got->layers, layers);
    assert_int_equal(got->cell, cell);
    char before[65], after[65];
    assert_int_equal(tally_model_digest(model, before), TALLY_OK);
    assert_int_equal(tally_model_digest(loaded, after), TALLY_OK);
    assert_string_equal(before, after);
    assert_string_equal(tally_model_note(loaded, "task"), "count");
    assert_string_equal(tally_model_note(loaded, "letters"), "\xc3\xa9\xc3\x9f");
    assert_string_equal(tally_model_note(loaded, "format"), "pt");

    /* and again: the same file, byte for byte */
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    size_t bytes = (size_t)info.st_size;
    char *first = malloc(bytes);
    assert_non_null(first);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    assert_int_equal(fread(first, 1, bytes, file), bytes);
    fclose(file);
    const char *second = scratch_path(s, "again.safetensors");
    assert_int_equal(tally_model_save(loaded, second), TALLY_OK);
    assert_file_holds(second, first, bytes);
    free(first);
    tally_model_free(model);
    tally_model_free(loaded);
}

static void test_round_trip(void **state) {
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        round_trip(*state, (tally_cell)cell, 1);
        round_trip(*state, (tally_cell)cell, 2);
        round_trip(*state, (tally_cell)cell, 12);
        round_trip(*state, (tally_cell)cell, TALLY_MAX_LAYERS);
    }
}

/* A flat tensor holds its elements' numbers, starting at 1. Every parameter is read from it as PyTorch lays it out:
 * the names and indices must match the numbers, and every element must belong to a parameter. */
static void test_elements_have_the_names_of_parameters(void **state) {
    (void)state;
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        const tally_model_config config = {INPUTS, HIDDEN, CLASSES, 3, (tally_cell)cell};
        tally_model *model;
        tally_tensor flat;
        assert_int_equal(tally_model_new(device, &config, &model), TALLY_OK);
        assert_int_equal(tl_model_flat_new(model, &flat), TALLY_OK);
        size_t elements = tally_tensor_elements(&flat), named = 0;
        float *numbers = malloc(elements * sizeof *numbers);
        assert_non_null(numbers);
        for (size_t i = 0; i < elements; i++)
            numbers[i] = (float)(i + 1);
        assert_int_equal(tally_tensor_write(&flat, numbers, elements), TALLY_OK);
        for (size_t p = 0; p < tally_model_parameters(model); p++) {
            const tally_parameter parameter = tally_model_parameter(model, p);
            assert_int_equal(tl_model_read(model, &flat, p, numbers), TALLY_OK);
            for (size_t e = 0; e < parameter.elements; e++) {
                size_t number;
                if (numbers[e] == 0) /* part of bias_ih */
                    continue;
                assert_string_equal(tl_model_element(model, (size_t)numbers[e] - 1, &number), parameter.name);
                assert_int_equal(number, e);
                named++;
            }
        }
        assert_int_equal(named, elements);
        free(numbers);
        tally_tensor_free(&flat);
        tally_model_free(model);
    }
}

/* Names, types, order and bytes in the file. */
static void test_contents(void **state) {
    const char *path = scratch_path(*state, "model.safetensors");
    assert_int_equal(write_model(path, TALLY_LSTM, 1), TALLY_OK);
    static const struct {
        const char *name;
        size_t ndim, shape[2], elements;
    } expected[PARTS] = {
        {"head.bias", 1, {CLASSES}, CLASSES},
        {"head.weight", 2, {CLASSES, HIDDEN}, CLASSES * HIDDEN},
        {"rnn.bias_hh_l0", 1, {4 * HIDDEN}, 4 * HIDDEN},
        {"rnn.bias_ih_l0", 1, {4 * HIDDEN}, 4 * HIDDEN},
        {"rnn.weight_hh_l0", 2, {4 * HIDDEN, HIDDEN}, 4 * HIDDEN * HIDDEN},
        {"rnn.weight_ih_l0", 2, {4 * HIDDEN, INPUTS}, 4 * HIDDEN * INPUTS},
    };
    tl_safetensors file;
    assert_int_equal(tl_safetensors_read(path, &file), TALLY_OK);
    assert_int_equal(file.count, PARTS);
    for (size_t p = 0; p < PARTS; p++) {
        const tl_saved_tensor *tensor = &file.tensors[p];
        assert_string_equal(tensor->name, expected[p].name);
        assert_string_equal(tensor->dtype, "F32");
        assert_int_equal(tensor->ndim, expected[p].ndim);
        assert_memory_equal(tensor->shape, expected[p].shape, tensor->ndim * sizeof(size_t));
        assert_int_equal(tensor->bytes, expected[p].elements * 4);
    }
    /* head.bias[1] = 1 + 1/64 = 0x3f820000 */
    assert_memory_equal(file.tensors[0].data + 4, "\x00\x00\x82\x3f", 4);
    const unsigned char zeros[4 * HIDDEN * 4] = {0};
    assert_memory_equal(file.tensors[BIAS_HH].data, zeros, sizeof zeros);
    tl_safetensors_free(&file);
}

/* Names are ordered by bytes, not by numbers: layer 10 comes before layer 2. */
static void test_order_of_layers(void **state) {
    (void)state;
    enum { LAYERS = 12 };
    tally_model *model;
    assert_int_equal(numbered_model(TALLY_LSTM, LAYERS, &model), TALLY_OK);
    assert_int_equal(tally_model_parameters(model), 2 + LAYER_PARTS * LAYERS);
    for (size_t p = 1; p < tally_model_parameters(model); p++)
        assert_true(strcmp(tally_model_parameter(model, p - 1).name, tally_model_parameter(model, p).name) < 0);
    assert_string_equal(tally_model_parameter(model, 4).name, "rnn.bias_hh_l10");
    assert_string_equal(tally_model_parameter(model, 6).name, "rnn.bias_hh_l2");
    const tally_parameter first = tally_model_parameter(model, 2 + 3 * LAYERS),
                          next = tally_model_parameter(model, 3 + 3 * LAYERS);
    assert_string_equal(first.name, "rnn.weight_ih_l0");
    assert_int_equal(first.shape[1], INPUTS);
    assert_string_equal(next.name, "rnn.weight_ih_l1");
    assert_int_equal(next.shape[0], 4 * HIDDEN);
    assert_int_equal(next.shape[1], HIDDEN);
    assert_int_equal(next.elements, 4 * HIDDEN * HIDDEN);
    tally_model_free(model);
}

static void test_models_that_cannot_be(void **state) {
    (void)state;
    static const tally_model_config configs[] = {
        {0, HIDDEN, CLASSES, 1, TALLY_LSTM},
        {INPUTS, 0, CLASSES, 1, TALLY_LSTM},
        {INPUTS, HIDDEN, 1, 1, TALLY_LSTM},
        {INPUTS, HIDDEN, CLASSES, 0, TALLY_LSTM},
        {INPUTS, HIDDEN, CLASSES, TALLY_MAX_LAYERS + 1, TALLY_LSTM},
        {INPUTS, SIZE_MAX / 4 + 1, CLASSES, 1, TALLY_LSTM},
        {1, (size_t)1 << 29, CLASSES, TALLY_MAX_LAYERS, TALLY_LSTM},
    };
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++) {
        tally_model *model;
        assert_int_equal(tally_model_new(device, &configs[i], &model), TALLY_USAGE);
        assert_null(model);
        assert_error("at least 1, 1, 2 and 1 are needed, at most 64 layers");
    }
    tally_model *model;
    assert_int_equal(tally_model_new(device, &(tally_model_config){INPUTS, HIDDEN, CLASSES, 1, TALLY_CELLS}, &model),
                     TALLY_USAGE);
    assert_null(model);
    assert_error("there is no cell 4");
}

static void read_file_from_torch(const char *path, size_t layers) {
    tally_model *model;
    if (tally_model_load(device, path, &model))
        fail_msg("%s", tally_error_text());
    const tally_model_config *config = tally_model_get_config(model);
    assert_int_equal(config->inputs, 2);
    assert_int_equal(config->hidden, 3);
    assert_int_equal(config->classes, 4);
    assert_int_equal(config->layers, layers);
    assert_string_equal(tally_model_note(model, "trained with"), "torch");
    for (size_t p = 0; p < tally_model_parameters(model); p++) {
        float values[MOST];
        size_t count = tally_model_parameter(model, p).elements;
        bool hh = is_bias_hh(model, p), ih = strstr(tally_model_parameter(model, p).name, "bias_ih") != NULL;
        assert_int_equal(tally_model_get(model, p, values, count), TALLY_OK);
        for (size_t e = 0; e < count; e++) {
            /* the biases are added on reading, here exactly; bias_ih is as many parameters further on as there are
             * layers */
            float expected = ih ? number(p, e) + number(p - layers, e) : hh ? 0 : number(p, e);
            assert_true(values[e] == expected);
        }
    }
    tally_model_free(model);
}

static void test_files_from_torch(void **state) {
    (void)state;
    read_file_from_torch(TALLY_FIXTURES "/torch_model.safetensors", 1);
    read_file_from_torch(TALLY_FIXTURES "/torch_layers.safetensors", 2);
}

/* Numbers in a note. */
static void read_note(const tally_model *model, const char *key, float *values, size_t count) {
    const char *text = tally_model_note(model, key);
    assert_non_null(text);
    for (size_t i = 0; i < count; i++) {
        char *end;
        values[i] = strtof(text, &end);
        assert_true(end > text);
        text = end;
    }
    assert_int_equal(*text, 0);
}

/* PyTorch's predictions in double must be matched within 1e-6, as promised to users who import a model. */
static void predict_as_torch(tally_cell cell, size_t layers) {
    enum { COUNT = 5, STEPS = 6, INPUTS_THERE = 2, CLASSES_THERE = 4 };
    char path[512];
    snprintf(path, sizeof path, TALLY_FIXTURES "/torch_%s_%zu.safetensors", tally_cell_name(cell), layers);
    tally_model *model;
    if (tally_model_load(device, path, &model))
        fail_msg("%s", tally_error_text());
    const tally_model_config *config = tally_model_get_config(model);
    assert_int_equal(config->cell, cell);
    assert_int_equal(config->layers, layers);
    assert_int_equal(config->inputs, INPUTS_THERE);
    assert_int_equal(config->classes, CLASSES_THERE);
    float x[COUNT * STEPS * INPUTS_THERE], want[COUNT * CLASSES_THERE], got[COUNT * CLASSES_THERE];
    read_note(model, "x", x, COUNT * STEPS * INPUTS_THERE);
    read_note(model, "probabilities", want, COUNT * CLASSES_THERE);
    assert_int_equal(tally_predict(model, x, COUNT, STEPS, NULL, got), TALLY_OK);
    for (size_t i = 0; i < COUNT * CLASSES_THERE; i++)
        if (!(fabsf(got[i] - want[i]) <= 1e-6f))
            fail_msg("%s: probability %zu is %.9g, not %.9g", path, i, (double)got[i], (double)want[i]);
    tally_model_free(model);
}

static void test_files_from_torch_predict_the_same(void **state) {
    (void)state;
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        predict_as_torch((tally_cell)cell, 1);
        predict_as_torch((tally_cell)cell, 3);
    }
}

static const char *const names[PARTS] = {"head.bias",      "head.weight",      "rnn.bias_hh_l0",
                                         "rnn.bias_ih_l0", "rnn.weight_hh_l0", "rnn.weight_ih_l0"};

/* A file under construction: a model's six tensors and space for another layer's. All zeros unless a test writes
 * them. */
typedef struct draft {
    tl_saved_tensor tensors[PARTS + LAYER_PARTS];
    size_t shapes[PARTS + LAYER_PARTS][3];
    float values[PARTS + LAYER_PARTS][MOST];
    size_t count;
    const char *cell; /* the note with its name, or NULL */
} draft;

static void set_shape(draft *d, size_t p, size_t ndim, size_t a, size_t b, size_t c) {
    const size_t shape[3] = {a, b, c};
    memcpy(d->shapes[p], shape, sizeof shape);
    size_t elements = 1;
    for (size_t i = 0; i < ndim; i++)
        elements *= shape[i];
    assert_true(elements <= MOST);
    d->tensors[p].ndim = ndim;
    d->tensors[p].bytes = elements * 4;
}

static void start_draft(draft *d) {
    memset(d, 0, sizeof *d);
    d->count = PARTS;
    for (size_t p = 0; p <= PARTS; p++)
        d->tensors[p] = (tl_saved_tensor){p < PARTS ? names[p] : "extra",      "F32", 0, d->shapes[p],
                                          (const unsigned char *)d->values[p], 0};
    set_shape(d, 0, 1, CLASSES, 0, 0);
    set_shape(d, 1, 2, CLASSES, HIDDEN, 0);
    set_shape(d, 2, 1, 4 * HIDDEN, 0, 0);
    set_shape(d, 3, 1, 4 * HIDDEN, 0, 0);
    set_shape(d, 4, 2, 4 * HIDDEN, HIDDEN, 0);
    set_shape(d, 5, 2, 4 * HIDDEN, INPUTS, 0);
    set_shape(d, 6, 1, 1, 0, 0);
}

/* The second layer, from tensor PARTS on: bias_hh, bias_ih, weight_hh and weight_ih. */
static void start_layers_draft(draft *d) {
    static const char *const more[LAYER_PARTS] = {"rnn.bias_hh_l1", "rnn.bias_ih_l1", "rnn.weight_hh_l1",
                                                  "rnn.weight_ih_l1"};
    start_draft(d);
    d->count += LAYER_PARTS;
    for (size_t i = 0; i < LAYER_PARTS; i++) {
        size_t p = PARTS + i;
        d->tensors[p] = (tl_saved_tensor){more[i], "F32", 0, d->shapes[p], (const unsigned char *)d->values[p], 0};
        set_shape(d, p, i < 2 ? 1 : 2, 4 * HIDDEN, i < 2 ? 0 : HIDDEN, 0);
    }
}

static tally_status load_draft(scratch *s, const draft *d) {
    const char *path = scratch_path(s, "draft.safetensors");
    json_t *metadata = d->cell ? json_pack("{s:s}", TALLY_CELL_NOTE, d->cell) : NULL;
    assert_int_equal(tl_safetensors_write(path, d->tensors, d->count, metadata), TALLY_OK);
    json_decref(metadata);
    tally_model *model;
    tally_status status = tally_model_load(device, path, &model);
    if (status) {
        assert_null(model);
        assert_error("draft.safetensors: ");
    }
    tally_model_free(model);
    return status;
}

static void test_drafts_are_models(void **state) {
    draft d;
    start_draft(&d);
    if (load_draft(*state, &d))
        fail_msg("%s", tally_error_text());
    start_layers_draft(&d);
    if (load_draft(*state, &d))
        fail_msg("%s", tally_error_text());
}

/* The file's note names the cell; without the note the shapes determine it. */
static void test_the_note_names_the_cell(void **state) {
    const char *path = scratch_path(*state, "model.safetensors");
    for (int cell = 0; cell < TALLY_CELLS; cell++) {
        tally_model *model, *loaded;
        assert_int_equal(numbered_model((tally_cell)cell, 1, &model), TALLY_OK);
        /* replaced when the model is saved */
        assert_int_equal(tally_model_set_note(model, TALLY_CELL_NOTE, "another"), TALLY_OK);
        assert_int_equal(tally_model_save(model, path), TALLY_OK);
        assert_int_equal(tally_model_load(device, path, &loaded), TALLY_OK);
        assert_string_equal(tally_model_note(loaded, TALLY_CELL_NOTE), tally_cell_name((tally_cell)cell));
        assert_int_equal(tally_model_get_config(loaded)->cell, cell);
        tally_model_free(loaded);
        tally_model_free(model);
    }
}

static void test_notes_that_name_no_cell_or_another(void **state) {
    static const struct {
        const char *cell, *text;
    } wrong[] = {
        {"", ": its note tally.cell is '\"\"', not lstm or gru or rnn"},
        {"LSTM", ": its note tally.cell is 'LSTM', not lstm or gru or rnn"},
        {"unknown", ": its note tally.cell is 'unknown', not lstm or gru or rnn"},
        {"\x1b[31m", ": its note tally.cell is '?[31m', not "},
        {"gru", ": its note tally.cell is gru, but tensor rnn.weight_hh_l0 has shape [20, 5]"},
        {"rnn", ": its note tally.cell is rnn, but tensor rnn.weight_hh_l0 has shape [20, 5]"},
    };
    draft d;
    start_draft(&d);
    d.cell = "lstm";
    if (load_draft(*state, &d))
        fail_msg("%s", tally_error_text());
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        d.cell = wrong[i].cell;
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        assert_error(wrong[i].text);
    }
}

static void test_missing_tensors(void **state) {
    for (size_t missing = 0; missing < PARTS; missing++) {
        draft d;
        start_draft(&d);
        d.count--;
        memmove(&d.tensors[missing], &d.tensors[missing + 1], (PARTS - missing - 1) * sizeof d.tensors[0]);
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        char text[128];
        snprintf(text, sizeof text, ": there is no tensor %s, which a model needs", names[missing]);
        assert_error(text);
    }
}

static void test_missing_tensors_of_a_layer(void **state) {
    for (size_t missing = PARTS; missing < PARTS + LAYER_PARTS; missing++) {
        draft d;
        start_layers_draft(&d);
        char text[128];
        snprintf(text, sizeof text, ": there is no tensor %s, which a model needs", d.tensors[missing].name);
        d.count--;
        memmove(&d.tensors[missing], &d.tensors[missing + 1], (d.count - missing) * sizeof d.tensors[0]);
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        assert_error(text);
    }
    draft d; /* the third layer without the second */
    start_layers_draft(&d);
    d.tensors[PARTS].name = "rnn.bias_hh_l2";
    d.tensors[PARTS + 1].name = "rnn.bias_ih_l2";
    d.tensors[PARTS + 2].name = "rnn.weight_hh_l2";
    d.tensors[PARTS + 3].name = "rnn.weight_ih_l2";
    assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
    assert_error(": there is no tensor rnn.bias_hh_l1, which a model needs");
}

/* Layers beyond the largest possible number, and names that resemble those of layers. */
static void test_extra_tensors_of_layers(void **state) {
    static const char *const beyond[] = {"rnn.weight_ih_l64", "rnn.bias_hh_l18446744073709551616"};
    static const char *const others[] = {"rnn.weight_ih_l01",
                                         "rnn.weight_ih_l",
                                         "rnn.weight_ih_l0_reverse",
                                         "rnn.weight_hr_l0",
                                         "rnn.weight_ih_l 1",
                                         "rnn.l1",
                                         "rnn.1",
                                         "weight_ih_l1"};
    draft d;
    start_draft(&d);
    d.count++;
    for (size_t i = 0; i < sizeof beyond / sizeof *beyond; i++) {
        d.tensors[PARTS].name = beyond[i];
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        assert_error(beyond[i]);
        assert_error(" belongs to a layer beyond the 64 that a model may have");
    }
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        d.tensors[PARTS].name = others[i];
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        char text[128];
        snprintf(text, sizeof text, ": tensor %s is not part of a model", others[i]);
        assert_error(text);
    }
}

static void test_extra_tensor(void **state) {
    draft d;
    start_draft(&d);
    d.count++;
    assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
    assert_error(": tensor extra is not part of a model");
}

static void test_other_dtype(void **state) {
    for (size_t p = 0; p < PARTS; p++) {
        draft d;
        start_draft(&d);
        d.tensors[p].dtype = "I32";
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        char text[128];
        snprintf(text, sizeof text, ": tensor %s has dtype I32, expected F32", names[p]);
        assert_error(text);
    }
}

static void test_other_shapes(void **state) {
    static const struct {
        size_t p, ndim, shape[3];
        const char *error;
    } cases[] = {
        {0, 0, {0}, "head.bias has shape [], expected [C]"},
        {0, 1, {5}, "head.bias has shape [5], expected [C] = [4]"},
        {0, 2, {4, 1}, "head.bias has shape [4, 1], expected [C]"},
        {1, 1, {20}, "head.weight has shape [20], expected [C, H]"},
        {1, 2, {4, 4}, "head.weight has shape [4, 4], expected [C, H] = [4, 5]"},
        {1, 2, {5, 5}, "head.bias has shape [4], expected [C] = [5]"},
        {1,
         2,
         {1, 5},
         "its shapes are those of a model of 3 inputs, 5 hidden units and 1 classes; at least 1, 1 and 2"},
        {2, 1, {15}, "rnn.bias_hh_l0 has shape [15], expected [4H] = [20]"},
        {3, 1, {0}, "rnn.bias_ih_l0 has shape [0], expected [4H] = [20]"},
        {4, 2, {20, 4}, "head.weight has shape [4, 5], expected [C, H] = [4, 4]"},
        {4, 2, {16, 5}, "rnn.weight_hh_l0 has shape [16, 5], expected [4H, H] = [20, 5]"},
        {4,
         2,
         {20, 0},
         "its shapes are those of a model of 3 inputs, 0 hidden units and 4 classes; at least 1, 1 and 2"},
        {4, 2, {0, SIZE_MAX / 4}, "head.weight has shape [4, 5], expected [C, H] = [4, "},
        {5, 2, {3, 20}, "rnn.weight_ih_l0 has shape [3, 20], expected [4H, I] = [20, 20]"},
        {5,
         2,
         {20, 0},
         "its shapes are those of a model of 0 inputs, 5 hidden units and 4 classes; at least 1, 1 and 2"},
        {5, 3, {20, 3, 1}, "rnn.weight_ih_l0 has shape [20, 3, 1], expected [4H, I]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        draft d;
        start_draft(&d);
        set_shape(&d, cases[i].p, cases[i].ndim, cases[i].shape[0], cases[i].shape[1], cases[i].shape[2]);
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        assert_error(cases[i].error);
    }
}

static void test_other_shapes_of_a_layer(void **state) {
    static const struct {
        size_t p, ndim, shape[3];
        const char *error;
    } cases[] = {
        {0, 1, {15}, "rnn.bias_hh_l1 has shape [15], expected [4H] = [20]"},
        {1, 2, {20, 1}, "rnn.bias_ih_l1 has shape [20, 1], expected [4H]"},
        {2,
         2,
         {16, 4},
         "rnn.weight_hh_l1 has shape [16, 4], but rnn.weight_hh_l0 [20, 5]: all layers must have the same number of "
         "units"},
        {2, 2, {16, 5}, "rnn.weight_hh_l1 has shape [16, 5], expected [4H, H] = [20, 5]"},
        {3, 2, {20, 3}, "rnn.weight_ih_l1 has shape [20, 3], expected [4H, H] = [20, 5]"},
        {3, 1, {20}, "rnn.weight_ih_l1 has shape [20], expected [4H, H]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        draft d;
        start_layers_draft(&d);
        set_shape(&d, PARTS + cases[i].p, cases[i].ndim, cases[i].shape[0], cases[i].shape[1], cases[i].shape[2]);
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        assert_error(cases[i].error);
    }
}

/* The rows of weight_hh determine the cell; those of the other tensors must match it. */
static void test_other_shapes_of_other_cells(void **state) {
    static const struct {
        tally_cell cell;
        size_t p, rows;
        const char *error;
    } cases[] = {
        {TALLY_GRU, 2, 20, "rnn.bias_hh_l0 has shape [20], expected [3H] = [15]"},
        {TALLY_GRU, 3, 20, "rnn.bias_ih_l0 has shape [20], expected [3H] = [15]"},
        {TALLY_GRU, 4, 20, "rnn.bias_hh_l0 has shape [15], expected [4H] = [20]"},
        {TALLY_GRU, 5, 20, "rnn.weight_ih_l0 has shape [20, 3], expected [3H, I] = [15, 3]"},
        {TALLY_RNN, 2, 15, "rnn.bias_hh_l0 has shape [15], expected [H] = [5]"},
        {TALLY_RNN, 3, 20, "rnn.bias_ih_l0 has shape [20], expected [H] = [5]"},
        {TALLY_RNN, 4, 15, "rnn.bias_hh_l0 has shape [5], expected [3H] = [15]"},
        {TALLY_RNN, 5, 15, "rnn.weight_ih_l0 has shape [15, 3], expected [H, I] = [5, 3]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        draft d;
        start_draft(&d);
        size_t rows = tally_cell_weights(cases[i].cell) * HIDDEN;
        for (size_t p = 2; p < PARTS; p++)
            set_shape(&d, p, p < 4 ? 1 : 2, rows, p == 4 ? HIDDEN : INPUTS, 0);
        if (load_draft(*state, &d))
            fail_msg("%s", tally_error_text());
        size_t p = cases[i].p;
        set_shape(&d, p, p < 4 ? 1 : 2, cases[i].rows, p == 4 ? HIDDEN : INPUTS, 0);
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        assert_error(cases[i].error);
    }
}

/* The message has no space for all of its dimensions. */
static void test_many_dimensions(void **state) {
    enum { DIMENSIONS = 1000 };
    size_t shape[DIMENSIONS];
    for (size_t i = 0; i < DIMENSIONS; i++)
        shape[i] = 1;
    draft d;
    start_draft(&d);
    d.tensors[0].ndim = DIMENSIONS;
    d.tensors[0].shape = shape;
    d.tensors[0].bytes = 4;
    assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
    assert_error("tensor head.bias has shape [1, 1, ");
    assert_error("...], expected [C]");
}

static void test_numbers_that_are_not_finite(void **state) {
    for (size_t p = 0; p < PARTS; p++) {
        draft d;
        start_draft(&d);
        size_t last = d.tensors[p].bytes / 4 - 1;
        char text[128];

        d.values[p][last] = -INFINITY;
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        snprintf(text, sizeof text, ": element %zu of tensor %s is -inf", last, names[p]);
        assert_error(text);

        d.values[p][0] = NAN;
        assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
        snprintf(text, sizeof text, ": element 0 of tensor %s is nan", names[p]);
        assert_error(text);
    }
}

static void test_sum_of_biases_that_is_not_finite(void **state) {
    draft d;
    start_draft(&d);
    d.values[BIAS_IH][7] = d.values[BIAS_HH][7] = 0x1p127f;
    assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
    assert_error(": the sum of rnn.bias_ih_l0 and rnn.bias_hh_l0 is inf at element 7");
    start_layers_draft(&d);
    d.values[PARTS][3] = d.values[PARTS + 1][3] = 0x1p127f;
    assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
    assert_error(": the sum of rnn.bias_ih_l1 and rnn.bias_hh_l1 is inf at element 3");
}

/* The GRU's n keeps both biases, whatever their sum is; r and z do not. */
static void test_sum_of_biases_that_is_not_used(void **state) {
    const char *path = scratch_path(*state, "model.safetensors");
    tally_model *model, *again;
    assert_int_equal(numbered_model(TALLY_GRU, 1, &model), TALLY_OK);
    float biases[2][3 * HIDDEN] = {{0}};
    for (size_t i = 0; i < HIDDEN; i++)
        biases[0][2 * HIDDEN + i] = biases[1][2 * HIDDEN + i] = 0x1p127f;
    for (size_t p = 0; p < 2; p++)
        assert_int_equal(tally_model_set(model, 2 + p, biases[p], 3 * HIDDEN), TALLY_OK);
    assert_int_equal(tally_model_save(model, path), TALLY_OK);
    tally_model_free(model);
    if (tally_model_load(device, path, &again))
        fail_msg("%s", tally_error_text());
    tally_model_free(again);

    draft d;
    start_draft(&d);
    for (size_t p = 2; p < PARTS; p++)
        set_shape(&d, p, p < 4 ? 1 : 2, 3 * HIDDEN, p == 4 ? HIDDEN : INPUTS, 0);
    d.values[BIAS_IH][2 * HIDDEN - 1] = d.values[BIAS_HH][2 * HIDDEN - 1] = 0x1p127f;
    assert_int_equal(load_draft(*state, &d), TALLY_MODEL);
    assert_error(": the sum of rnn.bias_ih_l0 and rnn.bias_hh_l0 is inf at element 9");
}

static void test_what_cannot_be_read_again_is_not_written(void **state) {
    scratch *s = *state;
    const char *path = scratch_path(s, "model.safetensors");
    tally_model *model;
    assert_int_equal(numbered_model(TALLY_LSTM, 1, &model), TALLY_OK);
    assert_int_equal(tally_model_set_note(model, "bad", "\xff"), TALLY_OK);
    assert_int_equal(tally_model_save(model, path), TALLY_USAGE);
    assert_error("model.safetensors: the note bad is not valid UTF-8");
    assert_int_equal(tally_model_set_note(model, "bad", "good"), TALLY_OK);

    float bias[CLASSES] = {0, 0, NAN, 0};
    assert_int_equal(tally_model_set(model, 0, bias, CLASSES), TALLY_OK);
    assert_int_equal(tally_model_save(model, path), TALLY_NUMBERS);
    assert_error("model.safetensors: element 2 of head.bias is nan");
    assert_int_equal(scratch_entries(s), 0);
    tally_model_free(model);
}

static void test_folder_that_is_not_there(void **state) {
    assert_int_equal(write_model(scratch_path(*state, "no/model.safetensors"), TALLY_LSTM, 1), TALLY_IO);
    assert_error("/no/model.safetensors: its folder ");
    tally_model *model;
    assert_int_equal(tally_model_load(device, scratch_path(*state, "no/model.safetensors"), &model), TALLY_IO);
    assert_null(model);
    assert_error("/no/model.safetensors: No such file or directory");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, scratch_setup, scratch_teardown)

int main(int argc, char **argv) {
    if (tally_device_open("cpu", NULL, &device)) {
        fprintf(stderr, "%s\n", tally_error_text());
        return 1;
    }
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_contents),
        TEST(test_order_of_layers),
        TEST(test_models_that_cannot_be),
        TEST(test_elements_have_the_names_of_parameters),
        TEST(test_files_from_torch),
        TEST(test_files_from_torch_predict_the_same),
        TEST(test_drafts_are_models),
        TEST(test_the_note_names_the_cell),
        TEST(test_notes_that_name_no_cell_or_another),
        TEST(test_missing_tensors),
        TEST(test_missing_tensors_of_a_layer),
        TEST(test_extra_tensors_of_layers),
        TEST(test_extra_tensor),
        TEST(test_other_dtype),
        TEST(test_other_shapes),
        TEST(test_other_shapes_of_a_layer),
        TEST(test_other_shapes_of_other_cells),
        TEST(test_many_dimensions),
        TEST(test_numbers_that_are_not_finite),
        TEST(test_sum_of_biases_that_is_not_finite),
        TEST(test_sum_of_biases_that_is_not_used),
        TEST(test_what_cannot_be_read_again_is_not_written),
        TEST(test_folder_that_is_not_there),
    };
    int result = argc == 5 && strcmp(argv[1], "--write") == 0
                     ? (int)write_model(argv[2], cell_of(argv[4]), strtoul(argv[3], NULL, 10))
                     : cmocka_run_group_tests_name("model file", tests, NULL, NULL);
    tally_device_close(device);
    return result;
}
