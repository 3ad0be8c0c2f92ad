#include "device_facts.h"

#ifdef TALLY_HAVE_OPENCL

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <stdio.h>

enum { MOST = 64 };

bool device_keeps_denormal(const tally_device_info *info) {
    unsigned platform, number;
    cl_platform_id platforms[MOST];
    cl_device_id devices[MOST];
    cl_uint count = 0;
    if (sscanf(info->selector, "%u:%u", &platform, &number) != 2 ||
        clGetPlatformIDs(MOST, platforms, &count) != CL_SUCCESS || platform >= count || platform >= MOST)
        return false;
    if (clGetDeviceIDs(platforms[platform], CL_DEVICE_TYPE_ALL, MOST, devices, &count) != CL_SUCCESS ||
        number >= count || number >= MOST)
        return false;
    cl_device_fp_config config = 0;
    if (clGetDeviceInfo(devices[number], CL_DEVICE_SINGLE_FP_CONFIG, sizeof config, &config, NULL) != CL_SUCCESS)
        return false;
    return config & CL_FP_DENORM;
}

#else

bool device_keeps_denormal(const tally_device_info *info) {
    (void)info;
    return false;
}

#endif
