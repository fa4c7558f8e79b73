/*
 * A PKCS#11 module in front of another one: it makes each call as slow as a token at the other end
 * of a network, counts the calls, and fails when told to.
 *
 *   TWINLOCK_SHIM_MODULE    the real module's path
 *   TWINLOCK_SHIM_DELAY_US  microseconds that each call sleeps first; 1000 unless set. Not delayed:
 *                           set-up and questions about slots and mechanisms, which are cached
 *   TWINLOCK_SHIM_COUNT     file that gets "C_Decrypt 37" lines at C_Finalize or at exit
 *   TWINLOCK_SHIM_FAIL      rules, separated by commas, blanks or newlines:
 *                             C_Decrypt:37:0x30   the 37th C_Decrypt answers CKR_DEVICE_ERROR
 *                             C_DecryptInit:5+:0xB3   from the 5th on, each one
 *                             delay:20000   sleep that long from now on
 *   TWINLOCK_SHIM_CONTROL   file with rules, read before every call, so that faults can be switched
 *                           on and off while a program runs. Its rules come on top of
 *                           TWINLOCK_SHIM_FAIL and count calls from the moment that the file
 *                           changed; no file, no rules. Replace it by rename
 *
 * A call that fails by a rule does not reach the real module. twinlock_shim_calls("C_Decrypt"), or
 * with NULL for all delayed functions together, tells a program in the same process how many calls
 * there were.
 */
#define _GNU_SOURCE
#include "pkcs11.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORTED __attribute__((visibility("default")))
#define MAX_RULES 32
#define MAX_TEXT 4096

enum {
#define INDEX(name, parameters, arguments, work) INDEX_##name,
    PKCS11_FUNCTIONS(INDEX)
#undef INDEX
        FUNCTIONS
};

static const char *const NAMES[FUNCTIONS] = {
#define NAME(name, parameters, arguments, work) #name,
    PKCS11_FUNCTIONS(NAME)
#undef NAME
};

static const char IS_WORK[FUNCTIONS] = {
#define WORK(name, parameters, arguments, work) work,
    PKCS11_FUNCTIONS(WORK)
#undef WORK
};

typedef struct {
    int function;
    unsigned long seen, nth;
    int onwards;
    CK_RV answer;
} rule;

typedef struct {
    rule rules[MAX_RULES];
    size_t count;
    long delay_us; /* -1: not said */
} rule_set;

static CK_FUNCTION_LIST *real;
static CK_FUNCTION_LIST table;
static atomic_ulong calls[FUNCTIONS];
static atomic_int counts_written;
static long base_delay_us = 1000;
static const char *control_path;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_mutex_t rules_lock = PTHREAD_MUTEX_INITIALIZER;
static rule_set fixed_rules = {.delay_us = -1}, control_rules = {.delay_us = -1};
static char control_text[MAX_TEXT];

static void complain(const char *what, const char *about) {
    fprintf(stderr, "twinlock shim: %s: %s\n", what, about);
}

static int find_function(const char *name) {
    for (int i = 0; i < FUNCTIONS; i++)
        if (strcmp(NAMES[i], name) == 0) return i;
    return -1;
}

/* Read one rule. Returns 0 when it is not one. */
static int parse_rule(const char *text, rule_set *into) {
    char name[64], plus[2] = "";
    unsigned long nth;
    long answer, delay;
    if (sscanf(text, "delay:%ld", &delay) == 1 && delay >= 0) {
        into->delay_us = delay;
        return 1;
    }
    if (sscanf(text, "%63[A-Za-z_]:%lu%1[+]:%li", name, &nth, plus, &answer) != 4 &&
        sscanf(text, "%63[A-Za-z_]:%lu:%li", name, &nth, &answer) != 3)
        return 0;
    int function = find_function(name);
    if (function < 0 || nth == 0 || into->count == MAX_RULES) return 0;
    into->rules[into->count++] =
        (rule){.function = function, .nth = nth, .onwards = plus[0] == '+', .answer = (CK_RV)answer};
    return 1;
}

static void parse_rules(const char *text, rule_set *into) {
    char copy[MAX_TEXT], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", text);
    *into = (rule_set){.delay_us = -1};
    for (char *word = strtok_r(copy, ", \t\r\n", &rest); word; word = strtok_r(NULL, ", \t\r\n", &rest))
        if (!parse_rule(word, into)) complain("not a rule", word);
}

/* Called with rules_lock held. */
static void read_control(void) {
    char text[MAX_TEXT] = "";
    int file = open(control_path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t length = read(file, text, sizeof text - 1);
        close(file);
        text[length > 0 ? length : 0] = '\0';
    }
    if (strcmp(text, control_text) != 0) {
        strcpy(control_text, text);
        parse_rules(text, &control_rules);
    }
}

static CK_RV apply(rule_set *set, int function) {
    CK_RV answer = CKR_OK;
    for (size_t i = 0; i < set->count; i++) {
        rule *each = &set->rules[i];
        if (each->function != function) continue;
        each->seen++;
        if (each->seen == each->nth || (each->onwards && each->seen > each->nth)) answer = each->answer;
    }
    return answer;
}

static void sleep_us(long us) {
    struct timespec left = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};
    while (us > 0 && clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR) continue;
}

/* What happens before each call: count it, wait, and perhaps answer in the module's place. */
static CK_RV before(int function) {
    atomic_fetch_add(&calls[function], 1);
    pthread_mutex_lock(&rules_lock);
    if (control_path) read_control();
    CK_RV answer = apply(&fixed_rules, function);
    if (answer == CKR_OK) answer = apply(&control_rules, function);
    long delay = control_rules.delay_us >= 0 ? control_rules.delay_us
                 : fixed_rules.delay_us >= 0 ? fixed_rules.delay_us
                                             : base_delay_us;
    pthread_mutex_unlock(&rules_lock);
    if (IS_WORK[function]) sleep_us(delay);
    return answer;
}

static void write_counts(void) {
    const char *path = getenv("TWINLOCK_SHIM_COUNT");
    if (!path || !*path) return;
    FILE *file = fopen(path, "w");
    if (!file) {
        complain("cannot write", path);
        return;
    }
    for (int i = 0; i < FUNCTIONS; i++) {
        unsigned long count = atomic_load(&calls[i]);
        if (count) fprintf(file, "%s %lu\n", NAMES[i], count);
    }
    fclose(file);
    atomic_store(&counts_written, 1);
}

/* A program that ends without C_Finalize still leaves its counts. */
__attribute__((destructor)) static void at_exit(void) {
    if (real && !atomic_load(&counts_written)) write_counts();
}

#define WRAPPER(name, parameters, arguments, work) \
    static CK_RV shim_##name parameters { \
        CK_RV answer = before(INDEX_##name); \
        if (answer != CKR_OK) return answer; \
        if (INDEX_##name == INDEX_C_Finalize) write_counts(); \
        return real->name arguments; \
    }
PKCS11_FUNCTIONS(WRAPPER)
#undef WRAPPER

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list);

static void load(void) {
    const char *path = getenv("TWINLOCK_SHIM_MODULE"), *delay = getenv("TWINLOCK_SHIM_DELAY_US");
    const char *fail = getenv("TWINLOCK_SHIM_FAIL");
    if (!path || !*path) {
        complain("TWINLOCK_SHIM_MODULE", "not set");
        return;
    }
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    if (library) *(void **)&get = dlsym(library, "C_GetFunctionList");
    if (!get || get(&real) != CKR_OK || !real) {
        complain(path, library ? "no PKCS#11 module" : dlerror());
        real = NULL;
        return;
    }
    if (delay && *delay) base_delay_us = atol(delay);
    if (fail) parse_rules(fail, &fixed_rules);
    control_path = getenv("TWINLOCK_SHIM_CONTROL");
    if (control_path && !*control_path) control_path = NULL;
    table.version = (CK_VERSION){2, 40};
#define FILL(name, parameters, arguments, work) table.name = real->name ? shim_##name : NULL;
    PKCS11_FUNCTIONS(FILL)
#undef FILL
    table.C_GetFunctionList = C_GetFunctionList;
}

EXPORTED CK_RV C_GetFunctionList(CK_FUNCTION_LIST **list) {
    pthread_once(&once, load);
    if (!real || !list) return CKR_GENERAL_ERROR;
    *list = &table;
    return CKR_OK;
}

EXPORTED unsigned long twinlock_shim_calls(const char *name);

EXPORTED unsigned long twinlock_shim_calls(const char *name) {
    unsigned long total = 0;
    for (int i = 0; i < FUNCTIONS; i++)
        if (name ? strcmp(NAMES[i], name) == 0 : IS_WORK[i]) total += atomic_load(&calls[i]);
    return total;
}
