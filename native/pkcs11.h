/*
 * The part of PKCS#11 v2.40 (OASIS) that the programs in this folder need, written out here so
 * that they build with a C compiler alone. On Unix no packing applies and CK_ULONG is a long.
 */
#ifndef TWINLOCK_PKCS11_H
#define TWINLOCK_PKCS11_H

#include <stddef.h>

typedef unsigned char CK_BYTE, CK_BBOOL;
typedef unsigned long CK_ULONG, CK_RV, CK_FLAGS, CK_HANDLE, CK_TYPE;

typedef struct { CK_BYTE major, minor; } CK_VERSION;
typedef struct { CK_TYPE type; void *value; CK_ULONG length; } CK_ATTRIBUTE;
typedef struct { CK_TYPE mechanism; void *parameter; CK_ULONG length; } CK_MECHANISM;
typedef struct { CK_TYPE hash, mgf, source; void *label; CK_ULONG label_length; } CK_OAEP;
typedef struct {
    CK_BYTE *iv;
    CK_ULONG iv_length, iv_bits;
    CK_BYTE *aad;
    CK_ULONG aad_length, tag_bits;
} CK_GCM;
typedef struct {
    void *create_mutex, *destroy_mutex, *lock_mutex, *unlock_mutex;
    CK_FLAGS flags;
    void *reserved;
} CK_INITIALIZE_ARGS;
typedef struct {
    CK_BYTE label[32], manufacturer[32], model[16], serial[16];
    CK_FLAGS flags;
    CK_ULONG counts[10];
    CK_VERSION hardware, firmware;
    CK_BYTE utc_time[16];
} CK_TOKEN_INFO;

typedef struct CK_FUNCTION_LIST CK_FUNCTION_LIST;

#define CKR_OK 0x00UL
#define CKR_GENERAL_ERROR 0x05UL
#define CKF_OS_LOCKING_OK 0x02UL
#define CKF_RW_SESSION 0x02UL
#define CKF_SERIAL_SESSION 0x04UL
#define CKU_USER 1UL

#define CKO_PUBLIC_KEY 2UL
#define CKO_PRIVATE_KEY 3UL
#define CKO_SECRET_KEY 4UL
#define CKK_RSA 0x00UL
#define CKK_AES 0x1FUL

#define CKA_CLASS 0x000UL
#define CKA_TOKEN 0x001UL
#define CKA_PRIVATE 0x002UL
#define CKA_KEY_TYPE 0x100UL
#define CKA_ID 0x102UL
#define CKA_SENSITIVE 0x103UL
#define CKA_ENCRYPT 0x104UL
#define CKA_DECRYPT 0x105UL
#define CKA_WRAP 0x106UL
#define CKA_UNWRAP 0x107UL
#define CKA_SIGN 0x108UL
#define CKA_VERIFY 0x10AUL
#define CKA_DERIVE 0x10CUL
#define CKA_MODULUS 0x120UL
#define CKA_MODULUS_BITS 0x121UL
#define CKA_PUBLIC_EXPONENT 0x122UL
#define CKA_EXTRACTABLE 0x162UL
#define CKA_MODIFIABLE 0x170UL
#define CKA_COPYABLE 0x171UL
#define CKA_UNWRAP_TEMPLATE 0x40000212UL
#define CKA_ALLOWED_MECHANISMS 0x40000600UL

#define CKM_RSA_PKCS_KEY_PAIR_GEN 0x0000UL
#define CKM_RSA_PKCS_OAEP 0x0009UL
#define CKM_SHA_1 0x0220UL
#define CKM_AES_GCM 0x1087UL
#define CKM_AES_KEY_WRAP 0x2109UL
#define CKG_MGF1_SHA1 1UL
#define CKZ_DATA_SPECIFIED 1UL

/*
 * Every function in the order of CK_FUNCTION_LIST: name, parameters, arguments, and whether it is
 * work that a network token would be asked for (1) or set-up (0).
 */
#define PKCS11_FUNCTIONS(X) \
    X(C_Initialize, (void *a), (a), 0) \
    X(C_Finalize, (void *a), (a), 0) \
    X(C_GetInfo, (void *a), (a), 0) \
    X(C_GetFunctionList, (CK_FUNCTION_LIST **a), (a), 0) \
    X(C_GetSlotList, (CK_BBOOL a, CK_ULONG *b, CK_ULONG *c), (a, b, c), 0) \
    X(C_GetSlotInfo, (CK_ULONG a, void *b), (a, b), 0) \
    X(C_GetTokenInfo, (CK_ULONG a, CK_TOKEN_INFO *b), (a, b), 0) \
    X(C_GetMechanismList, (CK_ULONG a, CK_TYPE *b, CK_ULONG *c), (a, b, c), 0) \
    X(C_GetMechanismInfo, (CK_ULONG a, CK_TYPE b, void *c), (a, b, c), 0) \
    X(C_InitToken, (CK_ULONG a, CK_BYTE *b, CK_ULONG c, CK_BYTE *d), (a, b, c, d), 1) \
    X(C_InitPIN, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b), (s, a, b), 1) \
    X(C_SetPIN, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG d), (s, a, b, c, d), 1) \
    X(C_OpenSession, (CK_ULONG a, CK_FLAGS b, void *c, void *d, CK_HANDLE *e), (a, b, c, d, e), 1) \
    X(C_CloseSession, (CK_HANDLE s), (s), 1) \
    X(C_CloseAllSessions, (CK_ULONG a), (a), 1) \
    X(C_GetSessionInfo, (CK_HANDLE s, void *a), (s, a), 1) \
    X(C_GetOperationState, (CK_HANDLE s, CK_BYTE *a, CK_ULONG *b), (s, a, b), 1) \
    X(C_SetOperationState, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_HANDLE c, CK_HANDLE d), (s, a, b, c, d), 1) \
    X(C_Login, (CK_HANDLE s, CK_ULONG a, CK_BYTE *b, CK_ULONG c), (s, a, b, c), 1) \
    X(C_Logout, (CK_HANDLE s), (s), 1) \
    X(C_CreateObject, (CK_HANDLE s, CK_ATTRIBUTE *a, CK_ULONG b, CK_HANDLE *c), (s, a, b, c), 1) \
    X(C_CopyObject, (CK_HANDLE s, CK_HANDLE a, CK_ATTRIBUTE *b, CK_ULONG c, CK_HANDLE *d), (s, a, b, c, d), 1) \
    X(C_DestroyObject, (CK_HANDLE s, CK_HANDLE a), (s, a), 1) \
    X(C_GetObjectSize, (CK_HANDLE s, CK_HANDLE a, CK_ULONG *b), (s, a, b), 1) \
    X(C_GetAttributeValue, (CK_HANDLE s, CK_HANDLE a, CK_ATTRIBUTE *b, CK_ULONG c), (s, a, b, c), 1) \
    X(C_SetAttributeValue, (CK_HANDLE s, CK_HANDLE a, CK_ATTRIBUTE *b, CK_ULONG c), (s, a, b, c), 1) \
    X(C_FindObjectsInit, (CK_HANDLE s, CK_ATTRIBUTE *a, CK_ULONG b), (s, a, b), 1) \
    X(C_FindObjects, (CK_HANDLE s, CK_HANDLE *a, CK_ULONG b, CK_ULONG *c), (s, a, b, c), 1) \
    X(C_FindObjectsFinal, (CK_HANDLE s), (s), 1) \
    X(C_EncryptInit, (CK_HANDLE s, CK_MECHANISM *a, CK_HANDLE b), (s, a, b), 1) \
    X(C_Encrypt, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_EncryptUpdate, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_EncryptFinal, (CK_HANDLE s, CK_BYTE *a, CK_ULONG *b), (s, a, b), 1) \
    X(C_DecryptInit, (CK_HANDLE s, CK_MECHANISM *a, CK_HANDLE b), (s, a, b), 1) \
    X(C_Decrypt, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_DecryptUpdate, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_DecryptFinal, (CK_HANDLE s, CK_BYTE *a, CK_ULONG *b), (s, a, b), 1) \
    X(C_DigestInit, (CK_HANDLE s, CK_MECHANISM *a), (s, a), 1) \
    X(C_Digest, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_DigestUpdate, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b), (s, a, b), 1) \
    X(C_DigestKey, (CK_HANDLE s, CK_HANDLE a), (s, a), 1) \
    X(C_DigestFinal, (CK_HANDLE s, CK_BYTE *a, CK_ULONG *b), (s, a, b), 1) \
    X(C_SignInit, (CK_HANDLE s, CK_MECHANISM *a, CK_HANDLE b), (s, a, b), 1) \
    X(C_Sign, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_SignUpdate, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b), (s, a, b), 1) \
    X(C_SignFinal, (CK_HANDLE s, CK_BYTE *a, CK_ULONG *b), (s, a, b), 1) \
    X(C_SignRecoverInit, (CK_HANDLE s, CK_MECHANISM *a, CK_HANDLE b), (s, a, b), 1) \
    X(C_SignRecover, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_VerifyInit, (CK_HANDLE s, CK_MECHANISM *a, CK_HANDLE b), (s, a, b), 1) \
    X(C_Verify, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG d), (s, a, b, c, d), 1) \
    X(C_VerifyUpdate, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b), (s, a, b), 1) \
    X(C_VerifyFinal, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b), (s, a, b), 1) \
    X(C_VerifyRecoverInit, (CK_HANDLE s, CK_MECHANISM *a, CK_HANDLE b), (s, a, b), 1) \
    X(C_VerifyRecover, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_DigestEncryptUpdate, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_DecryptDigestUpdate, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_SignEncryptUpdate, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_DecryptVerifyUpdate, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b, CK_BYTE *c, CK_ULONG *d), (s, a, b, c, d), 1) \
    X(C_GenerateKey, (CK_HANDLE s, CK_MECHANISM *a, CK_ATTRIBUTE *b, CK_ULONG c, CK_HANDLE *d), (s, a, b, c, d), 1) \
    X(C_GenerateKeyPair, (CK_HANDLE s, CK_MECHANISM *a, CK_ATTRIBUTE *b, CK_ULONG c, CK_ATTRIBUTE *d, CK_ULONG e, CK_HANDLE *f, CK_HANDLE *g), (s, a, b, c, d, e, f, g), 1) \
    X(C_WrapKey, (CK_HANDLE s, CK_MECHANISM *a, CK_HANDLE b, CK_HANDLE c, CK_BYTE *d, CK_ULONG *e), (s, a, b, c, d, e), 1) \
    X(C_UnwrapKey, (CK_HANDLE s, CK_MECHANISM *a, CK_HANDLE b, CK_BYTE *c, CK_ULONG d, CK_ATTRIBUTE *e, CK_ULONG f, CK_HANDLE *g), (s, a, b, c, d, e, f, g), 1) \
    X(C_DeriveKey, (CK_HANDLE s, CK_MECHANISM *a, CK_HANDLE b, CK_ATTRIBUTE *c, CK_ULONG d, CK_HANDLE *e), (s, a, b, c, d, e), 1) \
    X(C_SeedRandom, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b), (s, a, b), 1) \
    X(C_GenerateRandom, (CK_HANDLE s, CK_BYTE *a, CK_ULONG b), (s, a, b), 1) \
    X(C_GetFunctionStatus, (CK_HANDLE s), (s), 1) \
    X(C_CancelFunction, (CK_HANDLE s), (s), 1) \
    X(C_WaitForSlotEvent, (CK_FLAGS a, CK_ULONG *b, void *c), (a, b, c), 0)

struct CK_FUNCTION_LIST {
    CK_VERSION version;
#define MEMBER(name, parameters, arguments, work) CK_RV(*name) parameters;
    PKCS11_FUNCTIONS(MEMBER)
#undef MEMBER
};

#endif
