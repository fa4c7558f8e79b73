/*
 * The benchmark's floor: the PKCS#11 calls that Twinlock makes to open records, made by a C program
 * that does nothing else. What Twinlock takes beyond it is Twinlock's own.
 *
 *   floor MODULE TOKEN-LABEL PIN-FILE KEY-ID-HEX MODE
 *
 * KEY-ID-HEX is the CKA_ID of the wrapping key: an RSA private key that decrypts (rsa-oaep, bulk)
 * or unwraps (token-only), or an AES key that decrypts (token-aes). PIN-FILE holds the PIN on its
 * first line. The program makes a transport key pair (RSA-2048, session objects) and then speaks
 * lines on its standard input and output:
 *
 *   it says     transport <modulus, hex> <public exponent, hex>
 *   load PATH   loaded <number of records>
 *   round N     opens the first N records as one release; <nanoseconds, CLOCK_MONOTONIC>
 *   show I      <plaintext of record I (from 0), its segments one after the other, hex>
 *   quit        (or end of input) ends the program
 *
 * Anything that fails is said on standard error and ends the program with status 1.
 *
 * The calls, all RSA-OAEP with SHA-1, MGF1-SHA-1 and no label:
 *
 *   per release            C_OpenSession, C_UnwrapKey (transport key, RSA-OAEP -> AES key),
 *                          C_CloseSession. token-only has no such key: session only.
 *   per 64 records         C_OpenSession, C_CloseSession, with which their release keys die
 *                          (not token-only)
 *   rsa-oaep, token-aes    C_UnwrapKey (AES key, AES-KW -> rk), C_DecryptInit + C_Decrypt (wrapping
 *                          key, O -> W), C_UnwrapKey (rk, AES-KW on W -> DEK), C_DecryptInit +
 *                          C_Decrypt (DEK, AES-GCM) per segment, C_DestroyObject (DEK)
 *   token-only             C_UnwrapKey (wrapping key, RSA-OAEP -> DEK), C_DecryptInit + C_Decrypt
 *                          per segment, C_DestroyObject: the envelope of a server without Twinlock
 *   bulk                   as rsa-oaep; the name says only that records have many segments
 *
 * The file that "load" reads. Numbers are 32-bit little-endian; a blob is its length and its bytes.
 *
 *   "TWLFLOOR"      8 bytes
 *   number          of records
 *   blob            the release: RSA-OAEP block of the 32-byte AES key, encrypted to the transport
 *                   key (token-only: empty)
 *   then per record:
 *     blob          rk wrapped under the AES key, 40 bytes (token-only: empty)
 *     blob          the outer lock. rsa-oaep: RSA-OAEP block of W || 32 bytes; token-aes: 12-byte
 *                   nonce || AES-256-GCM(W); token-only: RSA-OAEP block of the 32-byte DEK.
 *                   W is the DEK wrapped under rk, 40 bytes
 *     blob          additional data of the outer lock (token-aes; otherwise empty)
 *     number        of segments, then per segment:
 *       blob        nonce, 12 bytes
 *       blob        ciphertext || 16-byte tag
 *       blob        additional data, not empty (SoftHSM 2.6.1 can crash without)
 */
#define _GNU_SOURCE
#include "pkcs11.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define W_SIZE 40
#define BATCH 64
#define NONCE_SIZE 12
#define COUNT(array) (sizeof(array) / sizeof *(array))

typedef struct { CK_BYTE *bytes; CK_ULONG length; } blob;
typedef struct { blob nonce, ciphertext, aad; } segment;
typedef struct { blob release_key, outer, outer_aad; uint32_t count; segment *segments; } record;
typedef struct { blob release; uint32_t count; record *records; CK_ULONG largest; } records_file;
typedef enum { RSA_OAEP, TOKEN_AES, TOKEN_ONLY } kind;

static CK_FUNCTION_LIST *module;
static CK_ULONG slot;
static CK_HANDLE main_session, transport_key, wrapping_key;

/* ---- failing ---- */

static void die(const char *what, const char *about) {
    fprintf(stderr, "floor: %s: %s\n", what, about);
    exit(1);
}

static void check(CK_RV answer, const char *function) {
    if (answer == CKR_OK) return;
    fprintf(stderr, "floor: %s answered 0x%lX\n", function, answer);
    exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    if (!memory) die("out of memory", "");
    return memory;
}

/* ---- the attribute policy, as in twinlock.token.policy for SoftHSM ---- */

static CK_BBOOL yes = 1, no = 0;
static CK_ULONG secret_class = CKO_SECRET_KEY, private_class = CKO_PRIVATE_KEY, public_class = CKO_PUBLIC_KEY;
static CK_ULONG aes = CKK_AES, rsa = CKK_RSA, oaep_only = CKM_RSA_PKCS_OAEP;

/* MODIFIABLE comes last: SoftHSM 2.6.1 refuses whatever follows it. */
#define SESSION_KEY(decrypt, unwrap) { \
    {CKA_CLASS, &secret_class, sizeof secret_class}, {CKA_KEY_TYPE, &aes, sizeof aes}, \
    {CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1}, \
    {CKA_ENCRYPT, &no, 1}, {CKA_DECRYPT, decrypt, 1}, {CKA_WRAP, &no, 1}, {CKA_UNWRAP, unwrap, 1}, \
    {CKA_SIGN, &no, 1}, {CKA_VERIFY, &no, 1}, {CKA_DERIVE, &no, 1}, {CKA_COPYABLE, &no, 1}, \
    {CKA_MODIFIABLE, &no, 1}}

static CK_ATTRIBUTE unwrapping_key[] = SESSION_KEY(&no, &yes); /* the AES key, and rk */
static CK_ATTRIBUTE decrypting_key[] = SESSION_KEY(&yes, &no); /* the DEK */

static CK_OAEP oaep_parameters = {CKM_SHA_1, CKG_MGF1_SHA1, CKZ_DATA_SPECIFIED, NULL, 0};
static CK_MECHANISM oaep = {CKM_RSA_PKCS_OAEP, &oaep_parameters, sizeof oaep_parameters};
static CK_MECHANISM key_wrap = {CKM_AES_KEY_WRAP, NULL, 0};

/* ---- the token ---- */

static void load_module(const char *path) {
    CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
    void *library = dlopen(path, RTLD_NOW);
    if (!library) die("cannot load the module", dlerror());
    *(void **)&get = dlsym(library, "C_GetFunctionList");
    if (!get) die("no PKCS#11 module", path);
    check(get(&module), "C_GetFunctionList");
    CK_INITIALIZE_ARGS arguments = {.flags = CKF_OS_LOCKING_OK};
    check(module->C_Initialize(&arguments), "C_Initialize");
}

static void find_token(const char *label) {
    CK_ULONG slots[64], count = COUNT(slots);
    size_t length = strlen(label);
    check(module->C_GetSlotList(1, slots, &count), "C_GetSlotList");
    for (CK_ULONG i = 0; i < count; i++) {
        CK_TOKEN_INFO info;
        check(module->C_GetTokenInfo(slots[i], &info), "C_GetTokenInfo");
        if (length > sizeof info.label || memcmp(info.label, label, length) != 0) continue;
        size_t padding = length;
        while (padding < sizeof info.label && info.label[padding] == ' ') padding++;
        if (padding == sizeof info.label) {
            slot = slots[i];
            return;
        }
    }
    die("no token with this label", label);
}

static CK_HANDLE open_session(void) {
    CK_HANDLE session;
    check(module->C_OpenSession(slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, &session),
          "C_OpenSession");
    return session;
}

static void log_in(const char *pin_file) {
    char pin[256] = "";
    FILE *file = fopen(pin_file, "r");
    if (!file || !fgets(pin, sizeof pin, file)) die("cannot read the PIN file", pin_file);
    fclose(file);
    pin[strcspn(pin, "\r\n")] = '\0';
    main_session = open_session();
    check(module->C_Login(main_session, CKU_USER, (CK_BYTE *)pin, strlen(pin)), "C_Login");
    explicit_bzero(pin, sizeof pin);
}

static void find_wrapping_key(const char *hex, kind kind) {
    CK_BYTE id[64];
    size_t length = strlen(hex) / 2;
    if (length == 0 || length > sizeof id || strlen(hex) % 2) die("not a CKA_ID", hex);
    for (size_t i = 0; i < length; i++)
        if (sscanf(hex + 2 * i, "%2hhx", &id[i]) != 1) die("not a CKA_ID", hex);
    CK_ULONG *class = kind == TOKEN_AES ? &secret_class : &private_class;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, class, sizeof *class}, {CKA_ID, id, length}};
    CK_ULONG found = 0;
    check(module->C_FindObjectsInit(main_session, wanted, COUNT(wanted)), "C_FindObjectsInit");
    check(module->C_FindObjects(main_session, &wrapping_key, 1, &found), "C_FindObjects");
    check(module->C_FindObjectsFinal(main_session), "C_FindObjectsFinal");
    if (found != 1) die("no wrapping key with this CKA_ID", hex);
}

static void print_hex(const CK_BYTE *bytes, CK_ULONG length) {
    for (CK_ULONG i = 0; i < length; i++) printf("%02x", bytes[i]);
}

static void make_transport_key(void) {
    CK_ULONG bits = 2048;
    CK_BYTE exponent[] = {1, 0, 1}, modulus[256];
    CK_MECHANISM generate = {CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ATTRIBUTE public_half[] = {
        {CKA_CLASS, &public_class, sizeof public_class}, {CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &no, 1},
        {CKA_ENCRYPT, &no, 1}, {CKA_WRAP, &no, 1}, {CKA_VERIFY, &no, 1},
        {CKA_MODULUS_BITS, &bits, sizeof bits}, {CKA_PUBLIC_EXPONENT, exponent, sizeof exponent}};
    CK_ATTRIBUTE private_half[] = {
        {CKA_CLASS, &private_class, sizeof private_class}, {CKA_KEY_TYPE, &rsa, sizeof rsa},
        {CKA_TOKEN, &no, 1}, {CKA_PRIVATE, &yes, 1}, {CKA_SENSITIVE, &yes, 1}, {CKA_EXTRACTABLE, &no, 1},
        {CKA_DECRYPT, &no, 1}, {CKA_UNWRAP, &yes, 1}, {CKA_SIGN, &no, 1}, {CKA_DERIVE, &no, 1},
        {CKA_UNWRAP_TEMPLATE, unwrapping_key, sizeof unwrapping_key},
        {CKA_ALLOWED_MECHANISMS, &oaep_only, sizeof oaep_only}, {CKA_COPYABLE, &no, 1},
        {CKA_MODIFIABLE, &no, 1}};
    CK_HANDLE public_key;
    check(module->C_GenerateKeyPair(main_session, &generate, public_half, COUNT(public_half), private_half,
                                    COUNT(private_half), &public_key, &transport_key),
          "C_GenerateKeyPair");
    CK_ATTRIBUTE wanted = {CKA_MODULUS, modulus, sizeof modulus};
    check(module->C_GetAttributeValue(main_session, public_key, &wanted, 1), "C_GetAttributeValue");
    printf("transport ");
    print_hex(modulus, wanted.length);
    printf(" ");
    print_hex(exponent, sizeof exponent);
    printf("\n");
}

/* ---- the records ---- */

static uint32_t read_number(FILE *file) {
    CK_BYTE b[4];
    if (fread(b, 1, sizeof b, file) != sizeof b) die("the records end early", "");
    return b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static blob read_blob(FILE *file) {
    blob value = {NULL, read_number(file)};
    value.bytes = allocate(value.length, 1);
    if (fread(value.bytes, 1, value.length, file) != value.length) die("the records end early", "");
    return value;
}

static record read_record(FILE *file, CK_ULONG *largest) {
    record value;
    value.release_key = read_blob(file);
    value.outer = read_blob(file);
    value.outer_aad = read_blob(file);
    value.count = read_number(file);
    value.segments = allocate(value.count, sizeof *value.segments);
    for (uint32_t i = 0; i < value.count; i++) {
        segment *each = &value.segments[i];
        each->nonce = read_blob(file);
        each->ciphertext = read_blob(file);
        each->aad = read_blob(file);
        if (each->nonce.length != NONCE_SIZE || each->aad.length == 0) die("not a segment", "");
        if (each->ciphertext.length > *largest) *largest = each->ciphertext.length;
    }
    return value;
}

/* Read once; what an earlier "load" read stays allocated, since a run loads a file or two. */
static records_file read_records(const char *path) {
    char magic[8];
    FILE *file = fopen(path, "rb");
    if (!file) die(path, strerror(errno));
    if (fread(magic, 1, sizeof magic, file) != sizeof magic || memcmp(magic, "TWLFLOOR", sizeof magic) != 0)
        die("not a file of records", path);
    records_file all = {.largest = 1024};
    all.count = read_number(file);
    all.release = read_blob(file);
    all.records = allocate(all.count, sizeof *all.records);
    for (uint32_t i = 0; i < all.count; i++) all.records[i] = read_record(file, &all.largest);
    fclose(file);
    return all;
}

/* ---- opening ---- */

static CK_HANDLE unwrap(CK_HANDLE session, CK_MECHANISM *how, CK_HANDLE key, blob wrapped,
                        CK_ATTRIBUTE *template, CK_ULONG count) {
    CK_HANDLE unwrapped;
    check(module->C_UnwrapKey(session, how, key, wrapped.bytes, wrapped.length, template, count, &unwrapped),
          "C_UnwrapKey");
    return unwrapped;
}

static CK_ULONG decrypt(CK_HANDLE session, CK_MECHANISM *how, CK_HANDLE key, blob ciphertext, CK_BYTE *into,
                        CK_ULONG room) {
    check(module->C_DecryptInit(session, how, key), "C_DecryptInit");
    check(module->C_Decrypt(session, ciphertext.bytes, ciphertext.length, into, &room), "C_Decrypt");
    return room;
}

static CK_ULONG decrypt_gcm(CK_HANDLE session, CK_HANDLE key, blob nonce, blob aad, blob ciphertext,
                            CK_BYTE *into, CK_ULONG room) {
    CK_GCM gcm = {nonce.bytes, nonce.length, 8 * nonce.length, aad.bytes, aad.length, 128};
    CK_MECHANISM how = {CKM_AES_GCM, &gcm, sizeof gcm};
    return decrypt(session, &how, key, ciphertext, into, room);
}

static CK_HANDLE open_dek(CK_HANDLE session, kind kind, CK_HANDLE release_key, const record *one, CK_BYTE *buffer,
                          CK_ULONG room) {
    CK_ULONG length;
    if (kind == TOKEN_AES) {
        blob nonce = {one->outer.bytes, NONCE_SIZE};
        blob sealed = {one->outer.bytes + NONCE_SIZE, one->outer.length - NONCE_SIZE};
        length = decrypt_gcm(session, wrapping_key, nonce, one->outer_aad, sealed, buffer, room);
    } else {
        length = decrypt(session, &oaep, wrapping_key, one->outer, buffer, room);
    }
    if (length < W_SIZE) die("the outer lock holds too little", "");
    blob w = {buffer, W_SIZE};
    return unwrap(session, &key_wrap, release_key, w, decrypting_key, COUNT(decrypting_key));
}

static void show(const CK_BYTE *bytes, CK_ULONG length, int wanted) {
    if (wanted) print_hex(bytes, length);
}

static void open_record(CK_HANDLE session, kind kind, CK_HANDLE aes_key, const record *one, CK_BYTE *buffer,
                        CK_ULONG room, int print) {
    CK_HANDLE release_key = 0, dek;
    if (kind == TOKEN_ONLY) {
        dek = unwrap(session, &oaep, wrapping_key, one->outer, decrypting_key, COUNT(decrypting_key));
    } else {
        release_key = unwrap(session, &key_wrap, aes_key, one->release_key, unwrapping_key, COUNT(unwrapping_key));
        dek = open_dek(session, kind, release_key, one, buffer, room);
    }
    for (uint32_t i = 0; i < one->count; i++) {
        const segment *each = &one->segments[i];
        show(buffer, decrypt_gcm(session, dek, each->nonce, each->aad, each->ciphertext, buffer, room), print);
    }
    check(module->C_DestroyObject(session, dek), "C_DestroyObject");
}

static uint64_t open_release(const records_file *all, kind kind, uint32_t from, uint32_t to, CK_BYTE *buffer,
                             int print) {
    struct timespec start, end;
    clock_gettime(CLOCK_MONOTONIC, &start);
    CK_HANDLE session = open_session(), aes_key = 0;
    if (kind != TOKEN_ONLY)
        aes_key = unwrap(session, &oaep, transport_key, all->release, unwrapping_key, COUNT(unwrapping_key));
    for (uint32_t start_of = from; start_of < to; start_of += BATCH) {
        CK_HANDLE work = kind == TOKEN_ONLY ? session : open_session();
        for (uint32_t i = start_of; i < to && i < start_of + BATCH; i++)
            open_record(work, kind, aes_key, &all->records[i], buffer, all->largest, print);
        if (kind != TOKEN_ONLY) check(module->C_CloseSession(work), "C_CloseSession");
    }
    check(module->C_CloseSession(session), "C_CloseSession");
    clock_gettime(CLOCK_MONOTONIC, &end);
    return (uint64_t)(end.tv_sec - start.tv_sec) * 1000000000u + (uint64_t)end.tv_nsec - (uint64_t)start.tv_nsec;
}

/* ---- the conversation ---- */

static kind read_mode(const char *name) {
    if (strcmp(name, "token-aes") == 0) return TOKEN_AES;
    if (strcmp(name, "token-only") == 0) return TOKEN_ONLY;
    if (strcmp(name, "rsa-oaep") != 0 && strcmp(name, "bulk") != 0) die("no such mode", name);
    return RSA_OAEP;
}

static void converse(kind kind) {
    static char line[4096];
    records_file all = {0};
    CK_BYTE *buffer = NULL;
    uint32_t number;
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\r\n")] = '\0';
        if (strcmp(line, "quit") == 0) break;
        if (strncmp(line, "load ", 5) == 0) {
            all = read_records(line + 5);
            free(buffer);
            buffer = allocate(all.largest, 1);
            printf("loaded %u\n", all.count);
        } else if (sscanf(line, "round %u", &number) == 1 && number <= all.count && number > 0) {
            printf("%llu\n", (unsigned long long)open_release(&all, kind, 0, number, buffer, 0));
        } else if (sscanf(line, "show %u", &number) == 1 && number < all.count) {
            open_release(&all, kind, number, number + 1, buffer, 1);
            printf("\n");
        } else {
            die("not understood", line);
        }
        fflush(stdout);
    }
}

int main(int count, char **arguments) {
    if (count != 6) {
        fprintf(stderr, "usage: floor MODULE TOKEN-LABEL PIN-FILE KEY-ID-HEX MODE\n");
        return 2;
    }
    kind kind = read_mode(arguments[5]);
    load_module(arguments[1]);
    find_token(arguments[2]);
    log_in(arguments[3]);
    find_wrapping_key(arguments[4], kind);
    make_transport_key();
    converse(kind);
    module->C_Finalize(NULL);
    return 0;
}
